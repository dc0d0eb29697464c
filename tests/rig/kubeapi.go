// The few API calls the rig makes itself, as plain JSON over TLS.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	callTimeout  = 10 * time.Second
	pollInterval = 100 * time.Millisecond
)

type kubeAPI struct {
	server string
	http   *http.Client
}

func newKubeAPI(server string, a *authority, certFile string) (*kubeAPI, error) {
	pair, err := tls.LoadX509KeyPair(a.path(certFile+".crt"), a.path(certFile+".key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	return &kubeAPI{server: server, http: &http.Client{Transport: transport, Timeout: callTimeout}}, nil
}

// call sends body as JSON if there is one, and decodes the answer into out if there is one.
func (k *kubeAPI) call(ctx context.Context, method, path string, body, out any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, k.server+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := k.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// until repeats probe until it succeeds, the context ends, or a process it depends on has ended.
func until(ctx context.Context, what string, watched []*process, probe func() error) error {
	for {
		err := probe()
		if err == nil {
			return nil
		}
		for _, p := range watched {
			if p.ended() {
				return fmt.Errorf("%s: %s ended (%v):\n%s", what, p.part, p.err, p.lastWords())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: last: %w", what, context.Cause(ctx), err)
		case <-time.After(pollInterval):
		}
	}
}

type object map[string]any

type nodeList struct {
	Items []struct {
		Metadata struct{ Name string }
		Spec     struct{ PodCIDR string }
		Status   struct {
			Conditions []struct{ Type, Status string }
		}
	}
}

func (k *kubeAPI) createNodes(ctx context.Context, member string, count int) error {
	for i := range count {
		node := object{
			"apiVersion": "v1",
			"kind":       "Node",
			"metadata": object{
				"name": fmt.Sprintf("node-%d", i+1),
				"labels": object{
					"kubernetes.io/os":              "linux",
					"kubernetes.io/arch":            "amd64",
					"kubernetes.io/hostname":        fmt.Sprintf("node-%d", i+1),
					"topology.kubernetes.io/region": member,
					"topology.kubernetes.io/zone":   fmt.Sprintf("%s-%c", member, 'a'+i),
				},
			},
			"status": object{"allocatable": object{"cpu": "8", "memory": "16Gi", "pods": "110"}},
		}
		if err := k.call(ctx, http.MethodPost, "/api/v1/nodes", node, nil); err != nil {
			return err
		}
	}
	return nil
}

var errNotYet = errors.New("not yet")

// nodesHavePodCIDRs must hold before kwok starts, or it would hand out addresses of its own.
func (k *kubeAPI) nodesHavePodCIDRs(ctx context.Context) error {
	var nodes nodeList
	if err := k.call(ctx, http.MethodGet, "/api/v1/nodes", nil, &nodes); err != nil {
		return err
	}
	for _, node := range nodes.Items {
		if node.Spec.PodCIDR == "" {
			return errNotYet
		}
	}
	return nil
}

func (k *kubeAPI) nodesAreReady(ctx context.Context) error {
	var nodes nodeList
	if err := k.call(ctx, http.MethodGet, "/api/v1/nodes", nil, &nodes); err != nil {
		return err
	}
	for _, node := range nodes.Items {
		ready := false
		for _, condition := range node.Status.Conditions {
			ready = ready || condition.Type == "Ready" && condition.Status == "True"
		}
		if !ready {
			return errNotYet
		}
	}
	return nil
}

// defaultServiceAccountExists tells that pods can be created in the default namespace.
func (k *kubeAPI) defaultServiceAccountExists(ctx context.Context) error {
	return k.call(ctx, http.MethodGet, "/api/v1/namespaces/default/serviceaccounts/default", nil, nil)
}
