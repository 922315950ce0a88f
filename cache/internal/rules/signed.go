package rules

import (
	"slices"
	"strings"
)

// signing is a scheme that puts a signature into the query. It is recognised if
// all of must and any of either, if there are any, are there with a value, and
// none of its parameters twice. Names are compared as they are written: a server
// that reads another spelling does so at its own risk, not at ours.
type signing struct{ must, either, may []string }

var signings = []signing{
	{ // AWS Signature Version 4, which R2, B2, MinIO and others speak, too
		must: []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"},
		may:  []string{"X-Amz-Security-Token", "X-Amz-Region-Set"},
	},
	{ // Google Cloud Storage V4
		must: []string{"X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires", "X-Goog-SignedHeaders", "X-Goog-Signature"},
	},
	{ // Google Cloud Storage V2
		must: []string{"GoogleAccessId", "Expires", "Signature"},
	},
	{ // S3 before Version 4
		must: []string{"AWSAccessKeyId", "Expires", "Signature"},
		may:  []string{"x-amz-security-token"},
	},
	{ // CloudFront; Hugging Face's links have both, some beside a signature of S3
		must:   []string{"Signature", "Key-Pair-Id"},
		either: []string{"Expires", "Policy"},
	},
	{ // Azure shared access signature. rscc, rscd, rsce, rscl and rsct change the
		// response and stay. GitHub's releases have a jwt of their own beside it.
		must: []string{"sig", "sv", "se"},
		may: []string{"sr", "ss", "srt", "sp", "st", "sip", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv",
			"saoid", "suoid", "scid", "sdd", "ses", "si", "tn", "jwt"},
	},
}

// unsign removes the parameters of all schemes that are recognised: a server behind a
// CDN may have a signature for each.
func unsign(query string) (rest string, signed bool) {
	if query == "" {
		return "", false
	}
	for _, s := range signings {
		if s.recognises(query) {
			query, signed = without(query, s.owns), true
		}
	}
	return query, signed
}

func (s signing) owns(name string) bool {
	return slices.Contains(s.must, name) || slices.Contains(s.either, name) || slices.Contains(s.may, name)
}

func (s signing) recognises(query string) bool {
	seen := map[string]bool{}
	for p := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(p, "=")
		if !s.owns(name) {
			continue
		}
		if seen[name] || value == "" {
			return false
		}
		seen[name] = true
	}
	for _, name := range s.must {
		if !seen[name] {
			return false
		}
	}
	return len(s.either) == 0 || slices.ContainsFunc(s.either, func(name string) bool { return seen[name] })
}

// without leaves out the parameters that drop names, and nothing else: what
// stays keeps its order and its empty parts.
func without(query string, drop func(name string) bool) string {
	if query == "" {
		return ""
	}
	var kept []string
	for p := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(p, "="); !drop(name) {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "&")
}
