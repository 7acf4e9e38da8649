// The library by which Flux applies, compares, collects and waits, by the kubeconfig in $KUBECONFIG. Prints a line for
// each thing tried: "ok WHAT", or "not ok WHAT: WHY".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

const namespace = "gitops"

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func try(what string, run func() error) {
	if err := run(); err != nil {
		fmt.Printf("not ok %s: %s\n", what, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	fmt.Println("ok", what)
}

type fields = map[string]any

func object(kind, name string, spec fields) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: fields{
		"apiVersion": "core.riptides.io/v1alpha1",
		"kind":       kind,
		"metadata":   fields{"name": name, "namespace": namespace},
		"spec":       spec,
	}}
}

func service(name, app string) *unstructured.Unstructured {
	return object("Service", name, fields{
		"labels":    fields{"app": app},
		"addresses": []any{fields{"address": name + ".example.org", "port": int64(443)}},
		"external":  true,
	})
}

func identity(name, workload string) *unstructured.Unstructured {
	return object("WorkloadIdentity", name, fields{
		"workloadID": workload,
		"scope":      fields{"daemonGroup": fields{"id": "nowhere"}},
		"selectors":  []any{fields{"process:uid": "1000"}},
	})
}

// Fails unless the set was applied with exactly this action.
func expect(action ssa.Action, changes *ssa.ChangeSet, err error) error {
	if err != nil {
		return err
	}
	for _, entry := range changes.Entries {
		if entry.Action != action {
			return fmt.Errorf("%s is %s, not %s", entry.Subject, entry.Action, action)
		}
	}
	return nil
}

func manage(config *rest.Config) {
	httpClient := must(rest.HTTPClientFor(config))
	mapper := must(apiutil.NewDynamicRESTMapper(config, httpClient))
	reader := must(client.New(config, client.Options{HTTPClient: httpClient, Mapper: mapper, Scheme: runtime.NewScheme()}))
	poller := polling.NewStatusPoller(reader, mapper, polling.Options{})
	manager := ssa.NewResourceManager(reader, poller, ssa.Owner{Field: "flux", Group: "kustomize.toolkit.fluxcd.io"})

	stored := func(wanted *unstructured.Unstructured) (*unstructured.Unstructured, error) {
		found := &unstructured.Unstructured{}
		found.SetGroupVersionKind(wanted.GroupVersionKind())
		return found, reader.Get(ctx, client.ObjectKeyFromObject(wanted), found)
	}
	apply := func(objects ...*unstructured.Unstructured) (*ssa.ChangeSet, error) {
		manager.SetOwnerLabels(objects, "apps", namespace)
		return manager.ApplyAllStaged(ctx, objects, ssa.DefaultApplyOptions())
	}
	wait := func(timeout time.Duration, objects ...*unstructured.Unstructured) error {
		return manager.Wait(objects, ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: timeout, FailFast: true})
	}
	binding := object("CredentialBinding", "lonely", fields{
		"workloadID":       "app",
		"credentialSource": "not-there-yet",
		"propagation":      fields{"injection": fields{"selectors": []any{fields{"app": "one"}}}},
	})
	set := func() []*unstructured.Unstructured {
		return []*unstructured.Unstructured{
			{Object: fields{"apiVersion": "v1", "kind": "Namespace", "metadata": fields{"name": namespace}}},
			{Object: fields{"apiVersion": "v1", "kind": "Secret", "metadata": fields{"name": "s", "namespace": namespace},
				"stringData": fields{"key": "value"}}},
			service("one", "one"), service("two", "two"), identity("app", "app"), binding.DeepCopy(),
		}
	}

	try("a set is created", func() error {
		changes, err := apply(set()...)
		return expect(ssa.CreatedAction, changes, err)
	})
	try("the same set again is unchanged", func() error {
		changes, err := apply(set()...)
		return expect(ssa.UnchangedAction, changes, err)
	})
	try("what somebody else changed is found, and put right", func() error {
		drifted := must(stored(service("one", "one")))
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"labels":{"app":"other"}}}`))
		if err := reader.Patch(ctx, drifted, patch); err != nil {
			return err
		}
		wanted := service("one", "one")
		manager.SetOwnerLabels([]*unstructured.Unstructured{wanted}, "apps", namespace)
		found, _, _, err := manager.Diff(ctx, wanted, ssa.DefaultDiffOptions())
		if err != nil || found.Action != ssa.ConfiguredAction {
			return fmt.Errorf("it is %v: %v", found, err)
		}
		changes, err := apply(service("one", "one"))
		if err = expect(ssa.ConfiguredAction, changes, err); err != nil {
			return err
		}
		app, _, err := unstructured.NestedString(must(stored(wanted)).Object, "spec", "labels", "app")
		if err == nil && app != "one" {
			err = errors.New("the label is " + app)
		}
		return err
	})
	try("what is well is waited for", func() error {
		return wait(time.Minute, service("one", "one"), service("two", "two"))
	})
	try("what waits for something is in progress", func() error {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			result := must(status.Compute(must(stored(identity("app", "app")))))
			if result.Status == status.InProgressStatus {
				return nil
			}
		}
		return errors.New("it never is")
	})
	try("what has failed ends the wait", func() error {
		source := object("CredentialSource", "failing", fields{"azure": fields{}})
		if _, err := apply(source); err != nil {
			return err
		}
		err := wait(time.Minute, source)
		if err == nil || !strings.Contains(err.Error(), "Failed") {
			return fmt.Errorf("the wait ended with: %v", err)
		}
		return nil
	})
	try("what is no longer in the set is collected", func() error {
		gone := service("two", "two")
		options := ssa.DefaultDeleteOptions()
		options.Inclusions = manager.GetOwnerLabels("apps", namespace)
		changes, err := manager.DeleteAll(ctx, []*unstructured.Unstructured{gone}, options)
		if err = expect(ssa.DeletedAction, changes, err); err != nil {
			return err
		}
		if err = manager.WaitForTermination([]*unstructured.Unstructured{gone}, ssa.DefaultWaitOptions()); err != nil {
			return err
		}
		if _, err = stored(gone); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %v", err)
		}
		_, err = stored(service("one", "one"))
		return err
	})
}

func main() {
	manage(must(clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))))
}
