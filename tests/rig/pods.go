// The pods: one HTTP server in a member's namespace answers for every pod
// address, and tells from the connection's local address which pod was asked.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	podServerVerb = "pod-server"
	// slowestHeader bounds a peer that connects and says nothing.
	slowestHeader = 10 * time.Second
)

type podAnswer struct {
	Member string `json:"cluster"`
	PodIP  string `json:"pod_ip"`
	Host   string `json:"host"`
	Path   string `json:"path"`
}

func servePods(args []string) error {
	flags := flag.NewFlagSet(podServerVerb, flag.ContinueOnError)
	member := flags.String("member", "", "name of the member cluster")
	if err := flags.Parse(args); err != nil {
		return errUsage
	}
	server := &http.Server{Handler: podHandler(*member), ReadHeaderTimeout: slowestHeader}
	failed := make(chan error)
	for _, port := range []int{80, 8080} {
		listener, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return err
		}
		go func() { failed <- server.Serve(listener) }()
	}
	return <-failed
}

func podHandler(member string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if !ok {
			http.Error(w, "not a TCP connection", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		answer := podAnswer{Member: member, PodIP: local.IP.String(), Host: r.Host, Path: r.URL.RequestURI()}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			fmt.Println("answer:", err)
		}
	})
}
