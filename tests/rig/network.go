// The rig's network: member i owns 10.(100+i).0.0/16 for pods and 10.200.i.2 for
// itself; the outer namespace reaches it over a veth pair as 10.200.i.1.
package main

import "fmt"

type link struct {
	index  int // from 1
	member string
	nsPath string
	pid    int // a process inside the member's namespace
}

func (l link) podCIDR() string  { return fmt.Sprintf("10.%d.0.0/16", 100+l.index) }
func (l link) address() string  { return fmt.Sprintf("10.200.%d.2", l.index) }
func (l link) gateway() string  { return fmt.Sprintf("10.200.%d.1", l.index) }
func (l link) outerEnd() string { return "m-" + l.member }

const memberEnd = "eth0"

// connect joins the member's namespace to the supervisor's, which is the outer one.
func (l link) connect(s *spawner) error {
	steps := []struct {
		nsPath string
		argv   []string
	}{
		{"", []string{"ip", "link", "add", l.outerEnd(), "type", "veth", "peer", "name", memberEnd, "netns", fmt.Sprint(l.pid)}},
		{"", []string{"ip", "addr", "add", l.gateway() + "/24", "dev", l.outerEnd()}},
		{"", []string{"ip", "link", "set", l.outerEnd(), "up"}},
		{l.nsPath, []string{"ip", "link", "set", "lo", "up"}},
		{l.nsPath, []string{"ip", "addr", "add", l.address() + "/24", "dev", memberEnd}},
		{l.nsPath, []string{"ip", "link", "set", memberEnd, "up"}},
		// Every address of the pod range is the member's own: one server answers for all pods.
		{l.nsPath, []string{"ip", "route", "add", "local", l.podCIDR(), "dev", "lo"}},
		{"", []string{"ip", "route", "add", l.podCIDR(), "via", l.address()}},
	}
	for _, step := range steps {
		if err := s.run(step.nsPath, step.argv...); err != nil {
			return err
		}
	}
	return nil
}

// set cuts or mends the link at the member's end: the outer routes stay, and
// packets vanish as they do when a cable is pulled elsewhere.
func (l link) set(s *spawner, state string) error {
	return s.run(l.nsPath, "ip", "link", "set", memberEnd, state)
}
