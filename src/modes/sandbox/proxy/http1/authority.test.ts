import { expect, test } from "bun:test";
import { readAuthority } from "./authority.ts";

const read: [string, string, number][] = [
  ["api.github.com:443", "api.github.com", 443],
  ["API.GitHub.com.:443", "api.github.com", 443],
  ["bücher.de:80", "xn--bcher-kva.de", 80],
  ["BÜCHER.de.:80", "xn--bcher-kva.de", 80],
  ["a。b:80", "a.b", 80],
  ["127.0.0.1:1", "127.0.0.1", 1],
  ["127.0.0.1.:1", "127.0.0.1", 1],
  ["255.255.255.255:65535", "255.255.255.255", 65535],
  ["[2001:DB8:0::0001]:443", "2001:db8::1", 443],
  ["[::ffff:127.0.0.1]:443", "::ffff:7f00:1", 443],
  ["foo_bar.example:80", "foo_bar.example", 80],
  ["localhost:80", "localhost", 80],
  ["0x1.com:80", "0x1.com", 80],
];
for (const [text, host, port] of read) test(`${text} is ${host}`, () => expect(readAuthority(text)).toEqual({ host, port }));

const refused: [string, RegExp][] = [
  ["0177.0.0.1:80", /dotted decimal/],
  ["0x7f.0.0.1:80", /dotted decimal/],
  ["0x7f000001:80", /dotted decimal/],
  ["2130706433:80", /dotted decimal/],
  ["127.1:80", /dotted decimal/],
  ["1.2.3.4.5:80", /dotted decimal/],
  ["1.2.3.256:80", /dotted decimal/],
  ["01.2.3.4:80", /dotted decimal/],
  ["example.0x1:80", /dotted decimal/],
  ["１２７.0.0.1:80", /dotted decimal/],
  ["user@example.com:80", /user information/],
  ["user:pw@example.com:80", /user information/],
  ["example.com", /no port/],
  ["example.com:", /port is not/],
  ["example.com:0", /port is not/],
  ["example.com:080", /port is not/],
  ["example.com:65536", /port is not/],
  ["example.com:80:80", /port is not/],
  ["example.com:+80", /port is not/],
  [":80", /empty|no name/],
  [".:80", /empty/],
  ["a..b:80", /no name has|not a valid/],
  [".a:80", /no name has|not a valid/],
  ["exa\0mple.com:80", /control/],
  ["exa\rmple.com:80", /control/],
  ["ex ample.com:80", /control/],
  ["ex%61mple.com:80", /no name has/],
  ["*.example.com:80", /no name has/],
  ["b\u00fc*.com:80", /no name has/],
  ["xn--a:80", /internationalised/],
  ["xn--:80", /internationalised/],
  ["[fe80::1%eth0]:80", /zone id/],
  ["[::1:80", /port is not/],
  ["[::1]80", /port is not/],
  ["[::g]:80", /IPv6/],
  ["[1.2.3.4]:80", /IPv6/],
  ["::1:80", /port is not|empty/],
  [`${"a".repeat(64)}.com:80`, /label of 64/],
  [`${"a.".repeat(130)}com:80`, /at most 253/],
];
for (const [text, problem] of refused)
  test(`${JSON.stringify(text).slice(0, 60)} is refused`, () =>
    expect(readAuthority(text)).toEqual({ problem: expect.stringMatching(problem) }));
