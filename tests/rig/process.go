// Child processes: started inside a member's network namespace, bound to the
// supervisor's life by the kernel, and always reaped.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner starts every child from one OS thread that lives as long as the
// supervisor: the parent-death signal is sent when the starting *thread* ends,
// and a network namespace is a property of a thread.
type spawner struct {
	jobs chan func()
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// start runs cmd in the namespace behind nsPath, or in the supervisor's own if it is empty.
func (s *spawner) start(cmd *exec.Cmd, nsPath string) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // a terminal's Ctrl-C reaches the supervisor alone
	result := make(chan error, 1)
	s.jobs <- func() { result <- startIn(cmd, nsPath) }
	return <-result
}

func startIn(cmd *exec.Cmd, nsPath string) error {
	if nsPath == "" {
		return cmd.Start()
	}
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return err
	}
	defer home.Close()
	if err := enterNamespace(nsPath); err != nil {
		return err
	}
	startErr := cmd.Start()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		panic(fmt.Sprintf("the spawning thread is lost in %s: %v", nsPath, err))
	}
	return startErr
}

// run waits for a short command and returns what it said if it failed.
func (s *spawner) run(nsPath string, argv ...string) error {
	var said bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := s.start(cmd, nsPath); err != nil {
		return fmt.Errorf("%v: %w", argv, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%v: %w: %s", argv, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// process is one long-running part of a member; done is closed when it has been reaped.
type process struct {
	part string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // valid once done is closed
}

type launch struct {
	part   string
	nsPath string
	dir    string // where its log goes
	argv   []string
	attr   *syscall.SysProcAttr
}

func (s *spawner) launch(l launch) (*process, error) {
	logPath := filepath.Join(l.dir, l.part+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{part: l.part, cmd: exec.Command(l.argv[0], l.argv[1:]...), log: logPath, done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = l.dir, log, log, l.attr
	if err := s.start(p.cmd, l.nsPath); err != nil {
		return nil, fmt.Errorf("start %s: %w", l.part, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process at once, stopped or not, and waits until it is reaped.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !p.ended() {
		fmt.Fprintf(os.Stderr, "rig: kill %s (%d): %v\n", p.part, p.pid(), err)
	}
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// lastWords is the end of the log of a process that should not have ended.
func (p *process) lastWords() string {
	const limit = 2000
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if len(raw) > limit {
		raw = raw[len(raw)-limit:]
	}
	return string(raw)
}
