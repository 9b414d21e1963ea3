package openshell_test

import data.openshell

endpoint(host, ports) := {"host": host, "ports": ports, "protocol": ""}

program(path) := {"path": path, "self_only": false}

alone(path) := {"path": path, "self_only": true}

rule(endpoints, binaries) := {"endpoints": endpoints, "binaries": binaries}

query(host, port, exe) := {"host": host, "port": port, "exe": exe, "ancestors": [], "own": []}

github := {"github": rule([endpoint("api.github.com", [443])], [program("/usr/bin/curl")])}

decide(policies, q) := result if {
	tables := openshell.index with data.policies as policies
	result := openshell.decision with data.policies as policies with data.index as tables with input as q
}

allowed(policies, q) if decide(policies, q).allow

hosts(pattern) := {"r": rule([endpoint(pattern, [443])], [program("/usr/bin/curl")])}

binaries(list) := {"r": rule([endpoint("a.example", [443])], list)}

test_allows_exact if {
	decide(github, query("api.github.com", 443, "/usr/bin/curl")) == {"allow": true, "policy": "github", "endpoints": [["github", 0]]}
}

test_names_what_is_missing if {
	decide(github, query("api.github.com", 443, "/usr/bin/python3")) == {"allow": false, "code": "binary_not_allowed", "rules": ["github"]}
	decide(github, query("api.github.com", 22, "/usr/bin/curl")) == {"allow": false, "code": "port_not_allowed", "ports": [443]}
	decide(github, query("evil.example", 443, "/usr/bin/curl")) == {"allow": false, "code": "host_not_allowed"}
	decide({}, query("api.github.com", 443, "/usr/bin/curl")) == {"allow": false, "code": "no_policies"}
}

# case-27: the binary of one rule does not open the host of another.
test_rules_do_not_mix if {
	both := {
		"a": rule([endpoint("a.example", [443])], [program("/usr/bin/curl")]),
		"b": rule([endpoint("b.example", [443])], [program("/usr/bin/git")]),
	}
	allowed(both, query("a.example", 443, "/usr/bin/curl"))
	not allowed(both, query("b.example", 443, "/usr/bin/curl"))
}

# case-36: overlapping rules are no error; the smallest key names the decision.
test_overlap_takes_smallest_key if {
	both := {"zeta": github.github, "alpha": github.github}
	decide(both, query("api.github.com", 443, "/usr/bin/curl")) == {
		"allow": true, "policy": "alpha",
		"endpoints": [["alpha", 0], ["zeta", 0]],
	}
}

# case-37
test_ports if {
	many := {"r": rule([endpoint("a.example", [80, 443])], [program("/usr/bin/curl")])}
	allowed(many, query("a.example", 80, "/usr/bin/curl"))
	allowed(many, query("a.example", 443, "/usr/bin/curl"))
	not allowed(many, query("a.example", 8080, "/usr/bin/curl"))
}

# case-38
test_one_label_wildcard if {
	p := hosts("*.anthropic.com")
	allowed(p, query("api.anthropic.com", 443, "/usr/bin/curl"))
	not allowed(p, query("anthropic.com", 443, "/usr/bin/curl"))
	not allowed(p, query("deep.sub.anthropic.com", 443, "/usr/bin/curl"))
	not allowed(p, query("evilanthropic.com", 443, "/usr/bin/curl"))
}

# case-38
test_deep_wildcard if {
	p := hosts("**.anthropic.com")
	allowed(p, query("api.anthropic.com", 443, "/usr/bin/curl"))
	allowed(p, query("deep.sub.anthropic.com", 443, "/usr/bin/curl"))
	not allowed(p, query("anthropic.com", 443, "/usr/bin/curl"))
}

test_star_inside_label if {
	p := hosts("*-aiplatform.googleapis.com")
	allowed(p, query("eu-aiplatform.googleapis.com", 443, "/usr/bin/curl"))
	not allowed(p, query("aiplatform.googleapis.com", 443, "/usr/bin/curl"))
	not allowed(p, query("x.eu-aiplatform.googleapis.com", 443, "/usr/bin/curl"))
}

test_star_in_later_label if {
	p := hosts("s3.*.amazonaws.com")
	allowed(p, query("s3.eu-west-1.amazonaws.com", 443, "/usr/bin/curl"))
	not allowed(p, query("s3.amazonaws.com", 443, "/usr/bin/curl"))
}

test_deep_and_star if {
	p := hosts("**.*.example.com")
	allowed(p, query("a.b.example.com", 443, "/usr/bin/curl"))
	allowed(p, query("a.b.c.example.com", 443, "/usr/bin/curl"))
	not allowed(p, query("b.example.com", 443, "/usr/bin/curl"))
}

test_host_patterns_agree_with_glob if {
	patterns := ["*.b.c", "**.b.c", "a*.b.c", "*a.b.c", "a*z.b.c", "a.*.c", "**.*.c", "a.b.c"]
	names := ["a.b.c", "b.c", "z.a.b.c", "az.b.c", "a.c", "ab.b.c", "a.x.c", "x.a.c", "c", "aXz.b.c", "za.b.c"]
	wrong := {[pattern, lower(name)] |
		some pattern in patterns
		some name in names
		expected := glob.match(pattern, ["."], lower(name))
		{r | r := true; allowed(hosts(pattern), query(lower(name), 443, "/usr/bin/curl"))} != {r | r := true; expected}
	}
	wrong == set()
}

test_path_patterns_agree_with_glob if {
	patterns := ["/usr/bin/*", "/usr/**", "/**", "/**/bin", "/usr/**/bin/x", "/usr/b*/x", "/*/bin/x", "/usr/bin/p*n", "/**/x"]
	paths := ["/usr/bin/x", "/usr/bin", "/x", "/usr/a/b/bin/x", "/usr/bin/pn", "/usr/bin/pythn", "/opt/bin/x", "/bin", "/usr/bin/p/n", "/usr/bin/bin/x"]
	wrong := {[pattern, path] |
		some pattern in patterns
		some path in paths
		expected := glob.match(pattern, ["/"], path)
		{r | r := true; allowed(binaries([program(pattern)]), query("a.example", 443, path))} != {r | r := true; expected}
	}
	wrong == set()
}

# case-30
test_ancestor_matches if {
	q := object.union(query("a.example", 443, "/usr/bin/curl"), {"ancestors": ["/usr/bin/env", "/bin/bash"]})
	allowed(binaries([program("/bin/bash")]), q)
	allowed(binaries([program("/bin/*")]), q)
	not allowed(binaries([alone("/bin/bash")]), q)
	not allowed(binaries([alone("/bin/*")]), q)
	allowed(binaries([alone("/usr/bin/curl")]), q)
	allowed(binaries([alone("/usr/bin/*")]), q)
}

# case-32
test_binary_globs if {
	allowed(binaries([program("/usr/bin/*")]), query("a.example", 443, "/usr/bin/x"))
	not allowed(binaries([program("/usr/bin/*")]), query("a.example", 443, "/usr/bin/sub/x"))
	allowed(binaries([program("/sandbox/.uv/python/**")]), query("a.example", 443, "/sandbox/.uv/python/3.13/bin/python"))
}

test_no_binaries_is_a_refusal if {
	decide(binaries([]), query("a.example", 443, "/usr/bin/x")) == {"allow": false, "code": "binary_not_allowed", "rules": ["r"]}
}

test_hostless_endpoint if {
	p := hosts("")
	allowed(p, query("10.1.2.3", 443, "/usr/bin/curl"))
	allowed(p, query("any.example", 443, "/usr/bin/curl"))
	not allowed(p, query("any.example", 80, "/usr/bin/curl"))
}

# threat-33: no rule opens anything to our own executable, nor through it.
test_own_executable_never_matches if {
	p := binaries([program("/**"), program("/opt/openshell/bin/openshell")])
	own := {"own": ["/opt/openshell/bin/openshell"]}
	not allowed(p, object.union(query("a.example", 443, "/opt/openshell/bin/openshell"), own))
	only := binaries([program("/opt/openshell/bin/openshell")])
	child := object.union(query("a.example", 443, "/usr/bin/curl"), {"ancestors": own.own})
	allowed(only, child)
	not allowed(only, object.union(child, own))
}

test_malformed_input_is_refused if {
	good := query("api.github.com", 443, "/usr/bin/curl")
	bad := [
		null, false, "x", {}, [],
		object.remove(good, ["host"]), object.remove(good, ["port"]), object.remove(good, ["exe"]),
		object.remove(good, ["ancestors"]), object.remove(good, ["own"]),
		object.union(good, {"request": false}), object.union(good, {"cmdline_paths": ["/usr/bin/curl"]}),
		object.union(good, {"host": ""}), object.union(good, {"host": "API.github.com"}), object.union(good, {"host": "api.github.com."}),
		object.union(good, {"host": "api..github.com"}), object.union(good, {"host": 1}), object.union(good, {"host": null}),
		object.union(good, {"port": "443"}), object.union(good, {"port": 0}), object.union(good, {"port": 65536}), object.union(good, {"port": 443.5}),
		object.union(good, {"exe": "curl"}), object.union(good, {"exe": ""}), object.union(good, {"exe": "/"}), object.union(good, {"exe": "/usr//bin"}),
		object.union(good, {"ancestors": null}), object.union(good, {"ancestors": ["bash"]}), object.union(good, {"ancestors": [1]}),
		object.union(good, {"own": null}), object.union(good, {"own": [1]}),
	]
	wrong := [q | some q in bad; decide(github, q) != {"allow": false, "code": "malformed"}]
	wrong == []
}

test_missing_index_is_refused if {
	q := query("api.github.com", 443, "/usr/bin/curl")
	r := openshell.decision with data.policies as github with input as q
	r == {"allow": false, "code": "engine_failure"}
	tables := {"nodes": {}, "hosts": {}, "unsupported": ["x"]}
	s := openshell.decision with data.policies as github with data.index as tables with input as q
	s == {"allow": false, "code": "engine_failure"}
}

test_no_input_is_refused if {
	tables := openshell.index with data.policies as github
	r := openshell.decision with data.policies as github with data.index as tables
	r == {"allow": false, "code": "malformed"}
}

test_undecidable_patterns_are_listed if {
	lists := {
		"hosts": {p | some p in ["*", "**", "a*b*c.d.e", "a.b*c*.e", "a.**.c", "[ab].c.d", "a?.c.d"]; unsupported(hosts(p)) == {{"rule": "r", "pattern": p}}},
		"paths": {p | some p in ["/**/a/**", "/a*b*c", "/a**", "/*[x]", "/{a,b}/*", "/a/*?"]; unsupported(binaries([program(p)])) == {{"rule": "r", "pattern": p}}},
	}
	count(lists.hosts) == 7
	count(lists.paths) == 6
}

test_decidable_patterns_are_not_listed if {
	every p in ["*.a.b", "**.a.b", "x*y.a.b", "a.*.b.c", "**.*.a.b"] {
		unsupported(hosts(p)) == set()
	}
	every p in ["/**", "/a/*", "/a/**/b", "/a*b/c", "/opt/[x]/y"] {
		unsupported(binaries([program(p)])) == set()
	}
}

unsupported(policies) := result if {
	tables := openshell.index with data.policies as policies
	result := tables.unsupported
}
