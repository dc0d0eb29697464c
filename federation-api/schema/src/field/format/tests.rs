//! Good and bad values of each format, from upstream's tables.

use super::{
    config_key, dns_1035_label, dns_label, dns_subdomain, env_name, label_key, label_value, path_segment, percent,
    port_name, port_number, wildcard_dns_subdomain,
};

type Check = fn(&str) -> Vec<String>;

/// Protocol: E5
#[test]
fn formats_accept_and_refuse_as_upstream() {
    let long63 = "a".repeat(63);
    let long64 = "a".repeat(64);
    let sub253 = "a.".repeat(126) + "a";
    let sub254 = "a.".repeat(126) + "aa";
    let prefix_long = format!("{}/b", "a".repeat(254));
    let table: &[(&str, Check, &[&str], &[&str])] = &[
        (
            "label",
            dns_label,
            &["a", "ab", "a-1", "a--1--2--b", "0", "01", "1-a", &long63],
            &["", "A", "aBc", "-", "a-", "-a", "_", "a_b", ".", "a.b", " ", "a ", "ä", &long64],
        ),
        (
            "subdomain",
            dns_subdomain,
            &["a", "a.a", "a--1--2--b.1", "0.0.0", &sub253],
            &["", "A", ".", "a.", ".a", "a..b", "a_b.c", "a.b-", "*.a", " a.b", &sub254],
        ),
        ("1035", dns_1035_label, &["a", "a1", &long63], &["", "0a", "1", "-a", "a-", "A", &long64]),
        ("wildcard", wildcard_dns_subdomain, &["*.a", "*.example.com"], &["*", "a.b", "*a", "*.", "**.a", "a.*.b"]),
        (
            "label key",
            label_key,
            &[
                "simple",
                "now-with-dashes",
                "1-starts",
                "1234",
                "simple/simple",
                "now-with-dashes/simple",
                "1.2.3.4/5678",
                "UppercaseNameIsOK123",
                "example.com/Upper_case.x",
            ],
            &[
                "",
                "nospecialchars%^=@",
                "cantendwithadash-",
                "-cantstartwithadash-",
                "only/one/slash",
                "Example.com/abc",
                "example_com/abc",
                "example.com/",
                "/simple",
                &long64,
                "ä",
                &prefix_long,
            ],
        ),
        (
            "label value",
            label_value,
            &["", "simple", "now-with-dashes", "1-starts", "end-with-num-1", "UpperCaseLetter", &long63],
            &["nospecial%", "-a", "a-", "a b", "ä", ".", &long64],
        ),
        ("key", config_key, &["a", "a.b", "A_B-c", ".x", "a..b"], &["", ".", "..", "..a", "a b", "a/b", "ä"]),
        (
            "port",
            port_name,
            &["telnet", "re-mail-ck", "a", "1a"],
            &["longerthan15characters", "", "123", "-a", "a-", "a--b", "A"],
        ),
        ("env", env_name, &["a", "A_B", "my.env", "1", "a b"], &["", "a=b", "ä", "a\nb"]),
        ("percent", percent, &["0%", "93%", "100%"], &["", "%", "1", "a%", "-1%", "1.5%"]),
        ("segment", path_segment, &["a", "A:b", "..."], &[".", "..", "a/b", "a%b"]),
    ];
    for (name, check, good, bad) in table {
        for value in *good {
            assert_eq!(check(value), Vec::<String>::new(), "{name} {value:?}");
        }
        for value in *bad {
            assert!(!check(value).is_empty(), "{name} {value:?} should be refused");
        }
    }
    for (port, fine) in [(0, false), (1, true), (65535, true), (65536, false), (-1, false)] {
        assert_eq!(port_number(port).is_empty(), fine, "{port}");
    }
}

#[test]
fn complaints_have_upstreams_words() {
    assert_eq!(
        dns_subdomain("A"),
        [
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        ]
    );
    assert_eq!(dns_label("a.b"), ["must not contain dots"]);
    assert_eq!(
        label_key("a b"),
        [
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ]
    );
    assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
}
