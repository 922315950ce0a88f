package group

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"crypto/x509"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew: members of different versions will not meet")

const vectorsFile = "testdata/vectors.json"

// vector is a group and all that members derive from it. Binary is hex.
type vector struct {
	Name       string    `json:"name"`
	Passphrase string    `json:"passphrase,omitempty"`
	Secret     string    `json:"secret"`
	Trusted    bool      `json:"trusted"`
	Code       string    `json:"code"`
	CA         string    `json:"ca_public_key"`
	Gossip     string    `json:"gossip_key"`
	Time       time.Time `json:"time"`
	Tag        string    `json:"tag"`
	URL        string    `json:"url"`
	Lookup     string    `json:"lookup"`
	NodeSeed   string    `json:"node_seed"`
	NodeID     NodeID    `json:"node_id"`
	Leaf       string    `json:"leaf"` // one that must be accepted at time
}

// The inputs of the vectors.
func vectorInputs() []vector {
	at := time.Date(2026, 11, 20, 23, 59, 59, 0, time.UTC)
	seed := hex.EncodeToString(bytes.Repeat([]byte{7}, 32))
	return []vector{
		{Name: "hostel", Secret: "000102030405060708090a0b0c0d0e0f", Time: at, URL: "https://example.com/a?b=c", NodeSeed: seed},
		{Name: "x", Secret: "ffffffffffffffffffffffffffffffff", Trusted: true, Time: at, NodeSeed: seed},
		{Name: "Ferienhaus Müller", Passphrase: "  fünf zufällige Wörter  genügen hier ", Time: at.AddDate(0, 0, 1), URL: "http://192.0.2.1/", NodeSeed: seed},
	}
}

func (v vector) group(t *testing.T) Group {
	t.Helper()
	if v.Passphrase != "" {
		g, err := FromPassphrase(v.Name, v.Passphrase, v.Trusted)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	return Group{Name: v.Name, Secret: secretOf(unhex(t, v.Secret)), Trusted: v.Trusted}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// derive fills in all but the leaf, whose serial is random.
func (v vector) derive(t *testing.T) (vector, *Keys) {
	t.Helper()
	g := v.group(t)
	keys, err := g.Keys()
	if err != nil {
		t.Fatal(err)
	}
	v.Secret = hex.EncodeToString(g.Secret.b())
	if v.Code, err = g.Code(); err != nil {
		t.Fatal(err)
	}
	v.CA = hex.EncodeToString(keys.signer().Public().(ed25519.PublicKey))
	v.Gossip = hex.EncodeToString(keys.GossipKeys()[0])
	v.Tag = keys.Tag(v.Time)
	lookup := keys.Lookup(v.URL)
	v.Lookup = hex.EncodeToString(lookup[:])
	v.NodeID = nodeKeyOf(unhex(t, v.NodeSeed)).ID()
	return v, keys
}

// What this version derives is what every other version derives, and what
// others mint this one accepts.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) == 0 {
		t.Fatalf("%d vectors, err %v", len(vectors), err)
	}
	for _, want := range vectors {
		got, keys := want.derive(t)
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", want.Name, got, want)
		}
		leaf, err := x509.ParseCertificate(unhex(t, want.Leaf))
		if err != nil {
			t.Fatal(err)
		}
		if id, err := keys.identify(leaf, want.Time); err != nil || id != want.NodeID {
			t.Errorf("%s: leaf of %v refused: %v", want.Name, id, err)
		}
	}
}

func writeVectors(t *testing.T) {
	var vectors []vector
	for _, in := range vectorInputs() {
		v, keys := in.derive(t)
		leaf, err := keys.mint(nodeKeyOf(unhex(t, v.NodeSeed)), v.Time)
		if err != nil {
			t.Fatal(err)
		}
		v.Leaf = hex.EncodeToString(leaf.Certificate[0])
		vectors = append(vectors, v)
	}
	data, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vectorsFile, append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
