// Command rig runs real Kubernetes control planes with fake nodes as member
// clusters on one machine: a network namespace each, joined to one outer
// namespace that has no other way out. It knows nothing of fedgate.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

const usage = `usage:
  rig up    --dir DIR [--members N] [--bin DIR] [--fsync] [--until-eof]   runs members until SIGTERM, SIGINT or rig down
  rig exec  --dir DIR [--bound] [--member NAME] COMMAND [ARG...]          runs a command in the outer namespace, or a member's
  rig fault --dir DIR MEMBER ACTION                                       stop-api cont-api kill-api start-api link-down link-up
  rig down  --dir DIR                                                     ends a running rig and waits for it`

var errUsage = errors.New(usage)

func main() {
	err := dispatch(os.Args[1:])
	if errors.Is(err, errUsage) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
		os.Exit(1)
	}
}

func dispatch(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	verb := args[0]
	flags := flag.NewFlagSet("rig "+verb, flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of this rig: kubeconfigs, logs, rig.json")
	var up upOptions
	var enter execOptions
	if verb == "exec" {
		flags.StringVar(&enter.member, "member", "", "run inside this member's namespace")
		flags.BoolVar(&enter.bound, "bound", false, "the command is killed when the program that started it ends")
	}
	if verb == "up" {
		flags.IntVar(&up.members, "members", len(memberNames), "how many member clusters")
		flags.StringVar(&up.bin, "bin", "", "directory with controlplane, kwok and stages.yaml (default: where rig is)")
		flags.BoolVar(&up.fsync, "fsync", false, "let etcd sync its log, as a durability test or a write benchmark needs")
		flags.BoolVar(&up.untilEOF, "until-eof", false, "end when standard input closes")
	}
	if verb == podServerVerb {
		return servePods(args[1:])
	}
	if err := flags.Parse(args[1:]); err != nil {
		return errUsage
	}
	if *dir == "" {
		return fmt.Errorf("--dir is missing\n%w", errUsage)
	}
	rest := flags.Args()
	switch {
	case verb == "up" && len(rest) == 0:
		up.dir = *dir
		return runUp(up)
	case verb == "exec" && len(rest) > 0:
		return runExec(*dir, enter, rest)
	case verb == "fault" && len(rest) == 2:
		return runFault(*dir, rest[0], rest[1])
	case verb == "down" && len(rest) == 0:
		return runDown(*dir)
	}
	return errUsage
}
