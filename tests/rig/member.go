// One member cluster: etcd, API server, controller manager, scheduler and kwok
// in a network namespace of its own, which the pod server keeps open.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	nodesPerMember = 3
	serviceCIDR    = "10.96.0.0/16"
	serviceIP      = "10.96.0.1"
	// readyTimeout is generous: three control planes start on two busy cores.
	readyTimeout = 3 * time.Minute
)

type member struct {
	link
	rigDir    string
	dir       string
	bin       string
	fsync     bool
	spawn     *spawner
	authority *authority
	api       *kubeAPI

	// mu guards parts, which start, fault requests and the supervisor's end share.
	mu    sync.Mutex
	parts map[string]*process
	ended bool
	// unexpected receives a part that ended without being told to.
	unexpected chan<- *process
}

func (m *member) server() string { return fmt.Sprintf("https://%s:6443", m.address()) }

func (m *member) kubeconfigPath() string { return filepath.Join(m.rigDir, m.member+".kubeconfig") }

// start brings the member up until its nodes are Ready.
func (m *member) start(ctx context.Context) error {
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return err
	}
	if err := m.openNamespace(); err != nil {
		return err
	}
	if err := m.issueCertificates(); err != nil {
		return err
	}
	if err := m.startPart("etcd", m.etcdArgs()); err != nil {
		return err
	}
	if err := m.startAPI(ctx); err != nil {
		return err
	}
	if err := m.startPart("kube-controller-manager", m.controllerManagerArgs()); err != nil {
		return err
	}
	if err := m.startPart("kube-scheduler", m.schedulerArgs()); err != nil {
		return err
	}
	if err := m.api.createNodes(ctx, m.member, nodesPerMember); err != nil {
		return err
	}
	if err := m.wait(ctx, "pod ranges of nodes", m.api.nodesHavePodCIDRs); err != nil {
		return err
	}
	if err := m.startKwok(); err != nil {
		return err
	}
	if err := m.wait(ctx, "ready nodes", m.api.nodesAreReady); err != nil {
		return err
	}
	return m.wait(ctx, "default service account", m.api.defaultServiceAccountExists)
}

// openNamespace starts the pod server in a new network namespace and connects it.
func (m *member) openNamespace() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pods, err := m.launch(launch{
		part: podServerVerb,
		dir:  m.dir,
		argv: []string{self, podServerVerb, "--member", m.member},
		attr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET},
	})
	if err != nil {
		return err
	}
	m.pid = pods.pid()
	m.nsPath = fmt.Sprintf("/proc/%d/ns/net", m.pid)
	return m.connect(m.spawn)
}

func (m *member) issueCertificates() error {
	a, err := newAuthority(m.dir, m.member+"-ca")
	if err != nil {
		return err
	}
	m.authority = a
	masters := []string{"system:masters"}
	serving := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", serviceIP, m.address()}
	certificates := []struct {
		file, user string
		groups     []string
		hosts      []string
	}{
		{"serving", "kube-apiserver", nil, serving},
		{"admin", "admin", masters, nil},
		{"kubelet-access", "kube-apiserver-kubelet-client", masters, nil},
		{"kwok", "kwok", masters, nil},
		{"kube-controller-manager", "system:kube-controller-manager", nil, nil},
		{"kube-scheduler", "system:kube-scheduler", nil, nil},
	}
	for _, c := range certificates {
		if err := a.issue(c.file, c.user, c.groups, c.hosts...); err != nil {
			return err
		}
	}
	for _, part := range []string{"kwok", "kube-controller-manager", "kube-scheduler"} {
		if err := a.kubeconfig(a.path(part+".kubeconfig"), part, m.server(), part); err != nil {
			return err
		}
	}
	if err := a.issueServiceAccountKey(); err != nil {
		return err
	}
	if m.api, err = newKubeAPI(m.server(), a, "admin"); err != nil {
		return err
	}
	return a.kubeconfig(m.kubeconfigPath(), m.member, m.server(), "admin")
}

func (m *member) startAPI(ctx context.Context) error {
	if err := m.startPart("kube-apiserver", m.apiServerArgs()); err != nil {
		return err
	}
	return m.wait(ctx, "API server", func(ctx context.Context) error {
		return m.api.call(ctx, http.MethodGet, "/readyz", nil, nil)
	})
}

func (m *member) startKwok() error {
	config, err := m.kwokConfig()
	if err != nil {
		return err
	}
	_, err = m.launch(launch{
		part: "kwok", nsPath: m.nsPath, dir: m.dir,
		argv: append([]string{filepath.Join(m.bin, "kwok")}, m.kwokArgs(config)...),
	})
	return err
}

func (m *member) startPart(part string, args []string) error {
	argv := append([]string{filepath.Join(m.bin, "controlplane"), part}, args...)
	_, err := m.launch(launch{part: part, nsPath: m.nsPath, dir: m.dir, argv: argv})
	return err
}

// launch records the process, so that it is ended with the rig and reported when it ends before.
func (m *member) launch(l launch) (*process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil, fmt.Errorf("%s has ended", m.member)
	}
	if running := m.parts[l.part]; running != nil {
		return nil, fmt.Errorf("%s of %s already runs (%d)", l.part, m.member, running.pid())
	}
	p, err := m.spawn.launch(l)
	if err != nil {
		return nil, err
	}
	m.parts[l.part] = p
	go func() {
		<-p.done
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.parts[l.part] == p && !m.ended {
			m.unexpected <- p
		}
	}()
	return p, nil
}

// killPart ends one part on purpose.
func (m *member) killPart(part string) error {
	m.mu.Lock()
	p := m.parts[part]
	delete(m.parts, part)
	m.mu.Unlock()
	if p == nil {
		return fmt.Errorf("%s of %s does not run", part, m.member)
	}
	p.kill()
	return nil
}

func (m *member) signalPart(part string, signal syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[part]
	if p == nil {
		return fmt.Errorf("%s of %s does not run", part, m.member)
	}
	return p.cmd.Process.Signal(signal)
}

func (m *member) wait(ctx context.Context, what string, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not within %s", readyTimeout))
	defer cancel()
	return until(ctx, m.member+": "+what, m.running(), func() error { return probe(ctx) })
}

func (m *member) running() []*process {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*process
	for _, p := range m.parts {
		all = append(all, p)
	}
	return all
}

// end kills whatever runs; nothing can be launched afterwards.
func (m *member) end() {
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	for _, p := range m.running() {
		p.kill()
	}
}

func (m *member) state() memberState {
	pids := map[string]int{}
	for _, p := range m.running() {
		pids[p.part] = p.pid()
	}
	return memberState{
		Name: m.member, Server: m.server(), Kubeconfig: m.kubeconfigPath(), PodCIDR: m.podCIDR(),
		Gateway: m.gateway(), Netns: m.nsPath, Pids: pids,
	}
}
