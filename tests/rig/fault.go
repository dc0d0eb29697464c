// Faults, asked for over a socket in the rig's directory, because only the
// supervisor may start and reap a member's processes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

var faults = map[string]func(context.Context, *member) error{
	"stop-api": func(_ context.Context, m *member) error { return m.signalPart("kube-apiserver", syscall.SIGSTOP) },
	"cont-api": func(_ context.Context, m *member) error { return m.signalPart("kube-apiserver", syscall.SIGCONT) },
	"kill-api": func(_ context.Context, m *member) error { return m.killPart("kube-apiserver") },
	"start-api": func(ctx context.Context, m *member) error {
		return m.startAPI(ctx)
	},
	"link-down": func(_ context.Context, m *member) error { return m.link.set(m.spawn, "down") },
	"link-up":   func(_ context.Context, m *member) error { return m.link.set(m.spawn, "up") },
}

func controlPath(dir string) string { return filepath.Join(dir, "control.sock") }

func (r *rig) serveControl(ctx context.Context) (io.Closer, error) {
	path := controlPath(r.dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(r.answerFault),
		ReadHeaderTimeout: slowestHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, "rig: control socket:", err)
		}
	}()
	return server, nil
}

func (r *rig) answerFault(w http.ResponseWriter, request *http.Request) {
	name, action := request.FormValue("member"), request.FormValue("action")
	fault, known := faults[action]
	if !known {
		http.Error(w, fmt.Sprintf("unknown action %q", action), http.StatusBadRequest)
		return
	}
	index := slices.IndexFunc(r.members, func(m *member) bool { return m.member == name })
	if index < 0 {
		http.Error(w, fmt.Sprintf("no member %q", name), http.StatusNotFound)
		return
	}
	if err := fault(request.Context(), r.members[index]); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if err := writeState(r.dir, r.state()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func runFault(dir, name, action string) error {
	socket := controlPath(dir)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	rig := &http.Client{Transport: transport, Timeout: readyTimeout}
	response, err := rig.PostForm("http://rig/fault", url.Values{"member": {name}, "action": {action}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(said)))
	}
	return nil
}
