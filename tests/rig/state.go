// The rig's public record, rig.json, and the verbs that work from it alone.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// downTimeout covers the kill and reaping of some twenty processes.
const downTimeout = 30 * time.Second

// rigState is what other programs may rely on; it exists once all members are ready.
type rigState struct {
	Pid     int           `json:"pid"`
	Outer   string        `json:"outer"` // path of the outer network namespace
	Members []memberState `json:"members"`
}

type memberState struct {
	Name       string         `json:"name"`
	Server     string         `json:"server"`
	Kubeconfig string         `json:"kubeconfig"`
	PodCIDR    string         `json:"podCIDR"`
	Gateway    string         `json:"gateway"` // the outer namespace's address on this member's link
	Netns      string         `json:"netns"`
	Pids       map[string]int `json:"pids"`
}

func statePath(dir string) string { return filepath.Join(dir, "rig.json") }

func readState(dir string) (rigState, error) {
	var state rigState
	raw, err := os.ReadFile(statePath(dir))
	if err != nil {
		return state, fmt.Errorf("no rig is running there: %w", err)
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		return state, fmt.Errorf("%s: %w", statePath(dir), err)
	}
	return state, nil
}

func writeState(dir string, state rigState) error {
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	fresh := statePath(dir) + ".new"
	if err := os.WriteFile(fresh, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, statePath(dir))
}

// lockDir claims the directory for as long as the file stays open; the kernel
// lets go of it with the process, so a stale claim cannot be left behind.
func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", lock.Name(), err), lock.Close())
	}
	return lock, nil
}

type execOptions struct {
	bound  bool
	member string // empty: the outer namespace
}

// namespace finds the one to enter.
func (s rigState) namespace(member string) (string, error) {
	if member == "" {
		return s.Outer, nil
	}
	for _, m := range s.Members {
		if m.Name == member {
			return m.Netns, nil
		}
	}
	return "", fmt.Errorf("no member %q", member)
}

// runExec replaces this process by the command, inside a namespace of the rig.
func runExec(dir string, options execOptions, command []string) error {
	state, err := readState(dir)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	namespace, err := state.namespace(options.member)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := enterNamespace(namespace); err != nil {
		return err
	}
	if options.bound {
		if err := bindToParent(); err != nil {
			return err
		}
	}
	return fmt.Errorf("exec %s: %w", path, syscall.Exec(path, command, os.Environ()))
}

// bindToParent has the kernel kill this process with its parent; exec keeps that.
// The setting belongs to the calling thread, which exec makes the process's only one.
func bindToParent() error {
	parent := os.Getppid()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("prctl: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("the parent has ended already")
	}
	return nil
}

func enterNamespace(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", path, err)
	}
	return nil
}

// runDown asks the supervisor to end and returns when it has.
func runDown(dir string) error {
	state, err := readState(dir)
	if err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err == nil { // its supervisor was killed: the record is all that is left
		return errors.Join(os.Remove(statePath(dir)), lock.Close())
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	pidfd, err := unix.PidfdOpen(state.Pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", state.Pid, err)
	}
	defer unix.Close(pidfd)
	if err := unix.PidfdSendSignal(pidfd, unix.SIGTERM, nil, 0); err != nil {
		return fmt.Errorf("signal %d: %w", state.Pid, err)
	}
	ended := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(ended, int(downTimeout.Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("rig %d did not end within %s", state.Pid, downTimeout)
		}
		return nil
	}
}
