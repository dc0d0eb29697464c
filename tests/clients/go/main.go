// One program a library: informers, leader election, the dynamic client, typed protobuf, a controller.
// Each runs against the namespace in $NS, prints "done", and ends; what goes wrong is fatal.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const limit = time.Minute

var (
	ns       = os.Getenv("NS")
	programs = map[string]func(context.Context, *rest.Config) error{
		"informers": followed, "election": elected, "dynamic": untyped, "protobuf": typed, "controller": controlled,
	}
)

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	program := programs[os.Args[1]]
	if program == nil {
		log.Fatalf("no program %q", os.Args[1])
	}
	if err := program(ctx, config); err != nil {
		log.Fatal(err)
	}
	fmt.Println("done")
}

func settings(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Data: map[string]string{"a": "1"}}
}

// followed: a shared informer sees what there is and what happens, once and in order.
func followed(ctx context.Context, config *rest.Config) error {
	hub := kubernetes.NewForConfigOrDie(config)
	maps := hub.CoreV1().ConfigMaps(ns)
	if _, err := maps.Create(ctx, settings("before"), metav1.CreateOptions{}); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(hub, 0, informers.WithNamespace(ns))
	informer := factory.Core().V1().ConfigMaps()
	events := make(chan string, 100)
	tell := func(verb string) func(any) {
		return func(object any) {
			if m, ok := object.(*corev1.ConfigMap); ok && m.Name != "kube-root-ca.crt" {
				events <- verb + " " + m.Name
			}
		}
	}
	changed := func(_, object any) { tell("update")(object) }
	handlers := cache.ResourceEventHandlerFuncs{AddFunc: tell("add"), UpdateFunc: changed, DeleteFunc: tell("delete")}
	if _, err := informer.Informer().AddEventHandler(handlers); err != nil {
		return err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return fmt.Errorf("never synced")
	}
	one, err := maps.Create(ctx, settings("one"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	one.Data["b"] = "2"
	if _, err := maps.Update(ctx, one, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err := maps.Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		return err
	}
	for _, want := range []string{"add before", "add one", "update one", "delete one"} {
		select {
		case got := <-events:
			if got != want {
				return fmt.Errorf("%s, expected %s", got, want)
			}
		case <-ctx.Done():
			return fmt.Errorf("never: %s", want)
		}
	}
	if _, err := informer.Lister().ConfigMaps(ns).Get("before"); err != nil {
		return err
	}
	return nil
}

// elected: two candidates for one Lease; the second leads when the first gives up.
func elected(ctx context.Context, config *rest.Config) error {
	hub := kubernetes.NewForConfigOrDie(config)
	led := make(chan string, 2)
	run := func(ctx context.Context, who string) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: "lead", Namespace: ns},
			Client:     hub.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: who},
		}
		leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: 500 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { led <- who },
				OnStoppedLeading: func() {},
			},
		})
	}
	first, giveUp := context.WithCancel(ctx)
	defer giveUp()
	go run(first, "first")
	if who := <-led; who != "first" {
		return fmt.Errorf("%s leads", who)
	}
	go run(ctx, "second")
	giveUp()
	select {
	case who := <-led:
		if who != "second" {
			return fmt.Errorf("%s leads", who)
		}
	case <-ctx.Done():
		return fmt.Errorf("nobody took over")
	}
	return nil
}

// untyped: create, apply, list in pages and watch without types.
func untyped(ctx context.Context, config *rest.Config) error {
	maps := dynamic.NewForConfigOrDie(config).Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(ns)
	object := func(name string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": map[string]any{"a": "1"},
		}}
	}
	for _, name := range []string{"a", "b", "c"} {
		if _, err := maps.Create(ctx, object(name), metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if _, err := maps.Apply(ctx, "d", object("d"), metav1.ApplyOptions{FieldManager: "dynamic"}); err != nil {
		return err
	}
	var names []string
	options := metav1.ListOptions{Limit: 2}
	for {
		page, err := maps.List(ctx, options)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			names = append(names, item.GetName())
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			break
		}
	}
	if got := fmt.Sprint(names); got != "[a b c d kube-root-ca.crt]" {
		return fmt.Errorf("pages hold %s", got)
	}
	_, err := maps.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"b":"2"}}`), metav1.PatchOptions{})
	return err
}

// typed: bodies in protobuf, answers in whatever the server has; apply configurations; a scale.
func typed(ctx context.Context, config *rest.Config) error {
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	hub := kubernetes.NewForConfigOrDie(config)
	made, err := hub.CoreV1().ConfigMaps(ns).Create(ctx, settings("proto"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if made.Data["a"] != "1" {
		return fmt.Errorf("%v came back", made.Data)
	}
	labels := map[string]string{"app": "go"}
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "go"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example/c:1"}}},
			},
		},
	}
	deployments := hub.AppsV1().Deployments(ns)
	if _, err := deployments.Create(ctx, deployment, metav1.CreateOptions{}); err != nil {
		return err
	}
	// Controllers write the Deployment's status meanwhile.
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		scale, err := deployments.GetScale(ctx, "go", metav1.GetOptions{})
		if err != nil {
			return err
		}
		scale.Spec.Replicas = 2
		_, err = deployments.UpdateScale(ctx, "go", scale, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	for {
		found, err := deployments.Get(ctx, "go", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if found.Status.ReadyReplicas == 2 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	applied := v1.ConfigMap("proto", ns).WithData(map[string]string{"b": "2"})
	if _, err := hub.CoreV1().ConfigMaps(ns).Apply(ctx, applied, metav1.ApplyOptions{FieldManager: "go"}); err != nil {
		return err
	}
	return hub.CoreV1().ConfigMaps(ns).Delete(ctx, "proto", metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)})
}

// controlled: a controller that owns a Secret for each ConfigMap, from the manager's cache.
func controlled(ctx context.Context, config *rest.Config) error {
	ctrl.SetLogger(zap.New())
	options := ctrl.Options{
		Metrics:                 server.Options{BindAddress: "0"},
		Cache:                   ctrlcache.Options{DefaultNamespaces: map[string]ctrlcache.Config{ns: {}}},
		LeaderElection:          true,
		LeaderElectionID:        "controller.example.com",
		LeaderElectionNamespace: ns,
	}
	manager, err := ctrl.NewManager(config, options)
	if err != nil {
		return err
	}
	hub := manager.GetClient()
	reconcile := func(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
		var owner corev1.ConfigMap
		if err := hub.Get(ctx, request.NamespacedName, &owner); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: owner.Name, Namespace: owner.Namespace}}
		_, err := controllerutil.CreateOrUpdate(ctx, hub, secret, func() error {
			secret.Data = map[string][]byte{"copy": []byte(owner.Data["a"])}
			return controllerutil.SetControllerReference(&owner, secret, manager.GetScheme())
		})
		return ctrl.Result{}, err
	}
	err = ctrl.NewControllerManagedBy(manager).For(&corev1.ConfigMap{}).Owns(&corev1.Secret{}).Complete(reconcileFunc(reconcile))
	if err != nil {
		return err
	}
	stopped, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- manager.Start(stopped) }()
	if err := hub.Create(ctx, settings("owner")); err != nil {
		return err
	}
	direct := manager.GetAPIReader()
	key := types.NamespacedName{Namespace: ns, Name: "owner"}
	var secret corev1.Secret
	for direct.Get(ctx, key, &secret) != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("no Secret was made")
		}
		time.Sleep(100 * time.Millisecond)
	}
	// What it owns comes back when somebody takes it away.
	first := secret.UID
	if err := hub.Delete(ctx, &secret); err != nil {
		return err
	}
	for direct.Get(ctx, key, &secret) != nil || secret.UID == first {
		if ctx.Err() != nil {
			return fmt.Errorf("the Secret did not come back")
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return <-ended
}

type reconcileFunc func(context.Context, ctrl.Request) (ctrl.Result, error)

func (f reconcileFunc) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return f(ctx, request)
}
