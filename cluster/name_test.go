package cluster

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	ranges "dtpx/range"
)

// peersOf are the names of the members of a's newest download.
func peersOf(n *node) (names []string) {
	all := n.engine.Downloads()
	if len(all) == 0 {
		return nil
	}
	for _, s := range all[0].Sources {
		if s.Kind == ranges.KindPeer {
			names = append(names, s.Name)
		}
	}
	return names
}

// A member that gets another name is shown by it, in running downloads too, and stays
// one source of them.
func TestRename(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow)
	a := r.join(nil)
	var name atomic.Value
	name.Store("kitchen")
	b := r.join(func(o *Options) { o.Name = func() string { return name.Load().(string) } })
	r.together()
	shown := func(as string) bool {
		peers, members := peersOf(a), a.Info().Members
		return len(peers) == 1 && peers[0] == as+" "+b.id().Short() && len(members) == 1 && members[0].Name == as
	}
	url := r.url("/40MiB/a") // more than the window: it waits for its reader
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	resp, err := a.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	var head strings.Builder
	_, err = io.CopyN(&head, resp.Body, mib)
	must(t, err)
	eventually(t, "shown by its name", func() bool { return shown("kitchen") })
	name.Store("attic")
	eventually(t, "shown by its new name", func() bool { return shown("attic") })
	if err := r.origin.Content(url).Verify(io.MultiReader(strings.NewReader(head.String()), resp.Body)); err != nil {
		t.Error(err)
	}
	if !shown("attic") {
		t.Errorf("sources %v, members %+v", peersOf(a), a.Info().Members)
	}
}
