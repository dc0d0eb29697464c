// The supervisor. It lives in the outer network namespace itself, holds every
// member's processes, and the kernel takes all of it away when it ends, however it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

var memberNames = []string{"east", "west", "north"}

// insideEnv marks the second life of `rig up`, after it has moved to the outer namespace.
const insideEnv = "RIG_OUTER_NAMESPACE"

type upOptions struct {
	dir      string
	members  int
	bin      string
	fsync    bool
	untilEOF bool
}

func runUp(options upOptions) error {
	if options.members < 1 || options.members > len(memberNames) {
		return fmt.Errorf("--members: 1 to %d", len(memberNames))
	}
	if os.Getenv(insideEnv) == "" {
		return moveToOuterNamespace()
	}
	return supervise(options)
}

// moveToOuterNamespace executes the same command again in a new network
// namespace; the process id stays.
func moveToOuterNamespace() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a new network namespace (this needs root): %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), insideEnv+"=1"))
}

func supervise(options upOptions) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	if options.untilEOF {
		go func() {
			if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
				fmt.Fprintln(os.Stderr, "rig: standard input:", err)
			}
			stop()
		}()
	}
	rig, err := prepare(options)
	if err != nil {
		return err
	}
	defer rig.end()
	if err := rig.startMembers(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	control, err := rig.serveControl(ctx)
	if err != nil {
		return err
	}
	defer control.Close()
	if err := writeState(rig.dir, rig.state()); err != nil {
		return err
	}
	fmt.Println("ready")
	select {
	case <-ctx.Done():
		return nil
	case p := <-rig.unexpected:
		return fmt.Errorf("%s ended (%v):\n%s", p.log, p.err, p.lastWords())
	}
}

type rig struct {
	dir        string
	lock       *os.File // held open: see lockDir
	spawn      *spawner
	members    []*member
	unexpected chan *process
}

func prepare(options upOptions) (*rig, error) {
	dir, err := filepath.Abs(options.dir)
	if err != nil {
		return nil, err
	}
	if options.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		options.bin = filepath.Dir(self)
	}
	for _, file := range []string{"controlplane", "kwok", "stages.yaml"} {
		if _, err := os.Stat(filepath.Join(options.bin, file)); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s belongs to a running rig: rig down --dir %s", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	r := &rig{dir: dir, lock: lock, spawn: newSpawner(), unexpected: make(chan *process, 32)}
	for i, name := range memberNames[:options.members] {
		m := &member{
			link:   link{index: i + 1, member: name},
			rigDir: dir, dir: filepath.Join(dir, name), bin: options.bin, fsync: options.fsync,
			spawn: r.spawn, parts: map[string]*process{}, unexpected: r.unexpected,
		}
		if err := os.RemoveAll(m.dir); err != nil {
			return nil, err
		}
		r.members = append(r.members, m)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("iproute2 is missing: %w", err)
	}
	return r, r.spawn.run("", "ip", "link", "set", "lo", "up")
}

// startMembers starts all at once and gives up on all when one fails.
func (r *rig) startMembers(ctx context.Context) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var group sync.WaitGroup
	for _, m := range r.members {
		group.Go(func() {
			if err := m.start(ctx); err != nil {
				giveUp(err)
			}
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (r *rig) state() rigState {
	state := rigState{Pid: os.Getpid(), Outer: fmt.Sprintf("/proc/%d/ns/net", os.Getpid())}
	for _, m := range r.members {
		state.Members = append(state.Members, m.state())
	}
	return state
}

func (r *rig) end() {
	var group sync.WaitGroup
	for _, m := range r.members {
		group.Go(m.end)
	}
	group.Wait()
	if err := os.Remove(statePath(r.dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "rig:", err)
	}
	if err := r.lock.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
	}
}
