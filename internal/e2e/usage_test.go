package e2e

import (
	"strings"
	"testing"
)

// Each command that has verbs says which, when it is asked; what it does not take
// is wrong usage and not passed over.
func TestUsageOfVerbs(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	for name, verb := range map[string]string{"group": "join CODE", "ca": "export", "config": "check", "cache": "purge"} {
		for _, flag := range []string{"-h", "--help"} {
			if r := b.dtpx(name, flag).ok(t); !strings.HasPrefix(r.out, "usage: dtpx "+name+" ") || !strings.Contains(r.out, verb) {
				t.Errorf("%s %s: %q", name, flag, r.out)
			}
		}
		b.dtpx(name).complains(t, 2, name, verb)
		b.dtpx(name, "nonsense").complains(t, 2, "nonsense", verb)
		b.dtpx(name, "-nonsense").complains(t, 2, "nonsense", name+" -h")
		b.dtpx(name, "--").complains(t, 2, verb)
	}
	for _, line := range []string{"status too much", "peers too much", "ca path too much", "group leave too much", "group new too much", "config check a too much", "cache ls too much"} {
		b.dtpx(strings.Fields(line)...).complains(t, 2, "too")
	}
	b.dtpx("group", "join").complains(t, 2, "CODE", "dtpx group code")
	b.dtpx("group", "block").complains(t, 2, "KEY", "dtpx peers")
	if names := b.names("."); names != "" {
		t.Errorf("wrong usage left %s", names)
	}
}

// A join code comes as people paste it: in several words, with what a chat
// program put into it; or not, and then it is said where to get it.
func TestJoinCodeAsPasted(t *testing.T) {
	t.Parallel()
	alice, bob := newBox(t), newBox(t)
	alice.dtpx("group", "new").ok(t)
	code := strings.TrimSpace(alice.dtpx("group", "code").ok(t).out)
	words := append([]string{"group", "join"}, strings.Split(code, "-")...)
	words[2] = "\ufeff" + words[2]
	if r := bob.dtpx(words...).ok(t); !strings.Contains(r.out, `joined group "home"`) {
		t.Errorf("join: %q", r.out)
	}
	if got := strings.TrimSpace(bob.dtpx("group", "code").ok(t).out); got != code {
		t.Error("bob is in another group")
	}
	bob.dtpx("group", "leave").ok(t)
	for _, cut := range []string{"", " ", code[:20], code[:len(code)-1]} {
		bob.dtpx("group", "join", cut).complains(t, 1, "join code", "dtpx group code")
	}
	bob.dtpx("group", "block", "nobody").complains(t, 1, "nobody", "dtpx peers")
	if r := bob.dtpx("group", "code"); r.code != 1 {
		t.Errorf("bob is in a group: %q", r.out)
	}
}
