package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

const name = "applied"

var services = schema.GroupVersionResource{Group: "core.riptides.io", Version: "v1alpha1", Resource: "services"}

func service(labels map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": services.GroupVersion().String(),
		"kind":       "Service",
		"metadata":   map[string]any{"name": name},
		"spec": map[string]any{
			"labels":    labels,
			"addresses": []any{map[string]any{"address": "applied.example.org", "port": int64(443)}},
			"external":  true,
		},
	}}
}

func try(what string, run func() error) {
	if err := run(); err != nil {
		say("not ok %s: %s", what, strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	say("ok %s", what)
}

func expectLabels(object *unstructured.Unstructured, want map[string]string) error {
	got, _, err := unstructured.NestedStringMap(object.Object, "spec", "labels")
	if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
		err = fmt.Errorf("labels are %v, not %v", got, want)
	}
	return err
}

// What server-side apply does with the fields of several managers.
func apply(client dynamic.Interface, namespace string) {
	ctx := context.Background()
	at := client.Resource(services).Namespace(namespace)
	as := func(manager string, force bool, labels map[string]any) (*unstructured.Unstructured, error) {
		return at.Apply(ctx, name, service(labels), metav1.ApplyOptions{FieldManager: manager, Force: force})
	}
	try("apply creates", func() error {
		object, err := as("one", false, map[string]any{"app": "a", "tier": "front"})
		if err != nil {
			return err
		}
		return expectLabels(object, map[string]string{"app": "a", "tier": "front"})
	})
	try("the same again changes nothing", func() error {
		before := must(at.Get(ctx, name, metav1.GetOptions{}))
		after, err := as("one", false, map[string]any{"app": "a", "tier": "front"})
		if err == nil && before.GetGeneration() != after.GetGeneration() {
			err = errors.New("it has another generation")
		}
		return err
	})
	try("two managers may say the same", func() error {
		_, err := as("two", false, map[string]any{"app": "a"})
		return err
	})
	try("a conflict names field and manager", func() error {
		_, err := as("two", false, map[string]any{"app": "b"})
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("no conflict: %v", err)
		}
		cause, found := apierrors.StatusCause(err, metav1.CauseTypeFieldManagerConflict)
		if !found || cause.Field != ".spec.labels.app" || !strings.Contains(cause.Message, `"one"`) {
			return fmt.Errorf("cause %+v", cause)
		}
		return nil
	})
	try("force takes the field", func() error {
		object, err := as("two", true, map[string]any{"app": "b"})
		if err != nil {
			return err
		}
		return expectLabels(object, map[string]string{"app": "b", "tier": "front"})
	})
	try("what its last manager no longer applies is removed", func() error {
		object, err := as("one", false, map[string]any{})
		if err != nil {
			return err
		}
		return expectLabels(object, map[string]string{"app": "b"})
	})
	try("managed fields name managers, operations and the status apart", func() error {
		for _, entry := range must(at.Get(ctx, name, metav1.GetOptions{})).GetManagedFields() {
			owned := map[string]any{}
			if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
				return err
			}
			if _, status := owned["f:status"]; status != (entry.Subresource == "status") {
				return fmt.Errorf("%s has %s", entry.Manager, entry.FieldsV1.GetRawString())
			}
		}
		return nil
	})
	try("an apply without changes to a dry run stores nothing", func() error {
		_, err := at.Apply(ctx, name, service(map[string]any{"app": "c"}),
			metav1.ApplyOptions{FieldManager: "two", DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		return expectLabels(must(at.Get(ctx, name, metav1.GetOptions{})), map[string]string{"app": "b"})
	})
	try("an unknown field is refused with its path", func() error {
		object := service(map[string]any{"app": "b"})
		object.Object["spec"].(map[string]any)["colour"] = "red"
		_, err := at.Apply(ctx, name, object, metav1.ApplyOptions{FieldManager: "two"})
		if err == nil || !strings.Contains(err.Error(), "spec.colour") {
			return fmt.Errorf("answered: %v", err)
		}
		return nil
	})
	try("an update of an old version is a conflict", func() error {
		old := must(at.Get(ctx, name, metav1.GetOptions{}))
		must(at.Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"labels":{"touched":"yes"}}}`), metav1.PatchOptions{}))
		_, err := at.Update(ctx, old, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("no conflict: %v", err)
		}
		return nil
	})
	try("a list in parts has everything once", func() error {
		for part := range 5 {
			object := service(map[string]any{"app": "part"})
			object.SetName(fmt.Sprintf("part-%d", part))
			must(at.Create(ctx, object, metav1.CreateOptions{}))
		}
		names, next := []string{}, ""
		for {
			list, err := at.List(ctx, metav1.ListOptions{Limit: 2, Continue: next})
			if err != nil {
				return err
			}
			for _, item := range list.Items {
				names = append(names, item.GetName())
			}
			if next = list.GetContinue(); next == "" {
				break
			}
		}
		if want := []string{name, "part-0", "part-1", "part-2", "part-3", "part-4"}; !slices.Equal(names, want) {
			return fmt.Errorf("listed %v", names)
		}
		return nil
	})
	try("a collection is deleted by its labels", func() error {
		selected := metav1.ListOptions{LabelSelector: "touched=yes"}
		if err := at.DeleteCollection(ctx, metav1.DeleteOptions{}, selected); err != nil {
			return err
		}
		if _, err := at.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})
}
