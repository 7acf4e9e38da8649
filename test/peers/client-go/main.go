// client-go as a controller uses it, by the kubeconfig in $KUBECONFIG:
//
//	main watch VERSION RESOURCE NAMESPACE   prints what an informer tells, until its input ends: "add NAME STEP
//	                                        VERSION", "update NAME STEP VERSION", "delete NAME", "list" for each list
//	main apply NAMESPACE                    prints a line for each thing tried: "ok WHAT", or "not ok WHAT: WHY"
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

var printing sync.Mutex

func say(format string, arguments ...any) {
	printing.Lock()
	defer printing.Unlock()
	fmt.Printf(format+"\n", arguments...)
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Tells of requests that are answered with everything there is.
type listTeller struct{ http.RoundTripper }

func (t listTeller) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	query := request.URL.Query()
	switch {
	case err != nil || response.StatusCode != http.StatusOK:
	case query.Get("sendInitialEvents") == "true":
		say("list as a stream")
	case query.Get("watch") == "":
		say("list")
	}
	return response, err
}

func watch(config *rest.Config, resource schema.GroupVersionResource, namespace string) {
	config.Wrap(func(transport http.RoundTripper) http.RoundTripper { return listTeller{transport} })
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(must(dynamic.NewForConfig(config)), 0, namespace, nil)
	tell := func(kind string, object any) {
		at := object.(*unstructured.Unstructured)
		say("%s %s %s %s", kind, at.GetName(), at.GetLabels()["step"], at.GetResourceVersion())
	}
	informer := factory.ForResource(resource).Informer()
	must(informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { tell("add", object) },
		UpdateFunc: func(_, object any) { tell("update", object) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			say("delete %s", object.(*unstructured.Unstructured).GetName())
		},
	}))
	stop := make(chan struct{})
	factory.Start(stop)
	io.Copy(io.Discard, os.Stdin)
	close(stop)
	factory.Shutdown()
}

func main() {
	config := must(clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG")))
	switch arguments := os.Args[2:]; os.Args[1] {
	case "watch":
		version := must(schema.ParseGroupVersion(arguments[0]))
		watch(config, version.WithResource(arguments[1]), arguments[2])
	case "apply":
		apply(must(dynamic.NewForConfig(config)), arguments[0])
	}
}
