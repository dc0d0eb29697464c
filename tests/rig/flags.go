// The command lines of a member's parts.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func (m *member) etcdArgs() []string {
	args := []string{
		"--data-dir=" + filepath.Join(m.dir, "etcd"),
		"--listen-client-urls=http://127.0.0.1:2379",
		"--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380",
	}
	if !m.fsync {
		args = append(args, "--unsafe-no-fsync")
	}
	return args
}

func (m *member) apiServerArgs() []string {
	a := m.authority
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--bind-address=0.0.0.0",
		"--advertise-address=" + m.address(),
		"--secure-port=6443",
		"--cert-dir=" + m.dir,
		"--tls-cert-file=" + a.path("serving.crt"),
		"--tls-private-key-file=" + a.path("serving.key"),
		"--client-ca-file=" + a.path("ca.crt"),
		"--kubelet-certificate-authority=" + a.path("ca.crt"),
		"--kubelet-client-certificate=" + a.path("kubelet-access.crt"),
		"--kubelet-client-key=" + a.path("kubelet-access.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + a.path("sa.pub"),
		"--service-account-signing-key-file=" + a.path("sa.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--authorization-mode=Node,RBAC",
		"--allow-privileged",
	}
}

func (m *member) controllerManagerArgs() []string {
	a := m.authority
	return []string{
		"--kubeconfig=" + a.path("kube-controller-manager.kubeconfig"),
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + a.path("sa.key"),
		"--root-ca-file=" + a.path("ca.crt"),
		"--cluster-signing-cert-file=" + a.path("ca.crt"),
		"--cluster-signing-key-file=" + a.path("ca.key"),
		"--leader-elect=false",
		"--allocate-node-cidrs",
		"--cluster-cidr=" + m.podCIDR(),
		"--node-cidr-mask-size=24",
		"--bind-address=127.0.0.1",
	}
}

func (m *member) schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + m.authority.path("kube-scheduler.kubeconfig"),
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
	}
}

func (m *member) kwokArgs(config string) []string {
	a := m.authority
	return []string{
		"--config=" + config,
		"--kubeconfig=" + a.path("kwok.kubeconfig"),
		"--manage-all-nodes=true",
		"--cidr=" + m.podCIDR(),
		"--node-ip=" + m.address(),
		"--node-port=10250",
		"--server-address=0.0.0.0:10250",
		"--tls-cert-file=" + a.path("serving.crt"),
		"--tls-private-key-file=" + a.path("serving.key"),
		"--node-lease-duration-seconds=40",
	}
}

// kubeletFormat lets logs and exec reach every pod: the log is one file, a command runs on the machine.
const kubeletFormat = `
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata: {name: logs}
spec:
  logs: [{logsFile: %q}]
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterExec
metadata: {name: exec}
spec:
  execs: [{local: {}}]
`

// kwokConfig writes the stages and the kubelet objects into one file.
func (m *member) kwokConfig() (string, error) {
	stages, err := os.ReadFile(filepath.Join(m.bin, "stages.yaml"))
	if err != nil {
		return "", err
	}
	podLog := filepath.Join(m.dir, "pods.cri")
	line := fmt.Sprintf("%s stdout F hello from %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z"), m.member)
	if err := os.WriteFile(podLog, []byte(line), 0o644); err != nil {
		return "", err
	}
	path := filepath.Join(m.dir, "kwok.yaml")
	return path, os.WriteFile(path, append(stages, fmt.Sprintf(kubeletFormat, podLog)...), 0o644)
}
