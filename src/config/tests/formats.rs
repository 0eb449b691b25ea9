//! One configuration in three formats.

use super::*;
use crate::mapping::RulesInput;

const YAML: &str = "\
CLUSTERID: here
acceptedclusterids: there, here
Server:
  PORT: \"1234\"
  Partition: aws-us-gov
  BackendMode: MountedFile
  AllowedRegions: [us-gov-west-1]
  EXTRAstsHOSTS: [sts.example.com]
  MaxTokenAge: 5000ms
  Limits: {Connections: 7, HANDSHAKES: 8, stsinflight: 9, Body: 30000}
  STS: {ConnectTO: {STS.example.com: '10.0.0.1:443'}, CAfile: /ca.pem, TimeOut: 2}
  HealthADDRESS: '[::1]:9'
  CLIENTcaFILE: /clients.pem
  COMPAT: {anySSOsuffix: T}
  mapROLES:
  - {rolearn: 'arn:aws-us-gov:iam::012345678901:role/a', USERNAME: 'a:{{SessionName}}', Groups: [x, y]}
  - {ROLEpattern: 'arn:aws-us-gov:iam::012345678901:role/b-*', username: b, groups: 'x, y'}
  - SSO: {permissionsetname: Set, ACCOUNTid: 012345670123, PARTITION: aws-us-gov}
    username: c
    UserID: AROA
  mapusers: {USERarn: 'arn:aws-us-gov:iam::012345678901:user/d', username: d, groups: }
  MAPaccounts: [012345678901, '000000000001', 012345670123]
  scrubbedACCOUNTS: 012345678901
  reservedPREFIXconfig: [{BACKENDmode: MountedFile, usernameprefixreservelist: 'system:,aws:'}]
";

const JSON: &str = r#"{
	"clusterId": "here", "acceptedClusterIds": ["there"],
	"server": {
		"port": 1234, "partition": "aws-us-gov", "backendMode": ["MountedFile"],
		"allowedRegions": "us-gov-west-1", "extraSTSHosts": ["sts.example.com"],
		"maxTokenAge": 5000, "limits": {"connections": 7, "handshakes": 8, "stsInFlight": 9, "body": 30000},
		"sts": {"connectTo": {"sts.example.com": "10.0.0.1:443"}, "caFile": "\/ca.pem", "timeout": "2000ms"},
		"healthAddress": "[::1]:9", "clientCAFile": "/clients.pem", "compat": {"anySSOSuffix": true},
		"mapRoles": [
			{"roleARN": "arn:aws-us-gov:iam::012345678901:role/a", "username": "a:{{SessionName}}", "groups": ["x", "y"]},
			{"rolePattern": "arn:aws-us-gov:iam::012345678901:role/b-*", "username": "b", "groups": ["x", "y"]},
			{"sso": {"permissionSetName": "Set", "accountID": "012345670123", "partition": "aws-us-gov"}, "username": "c"}
		],
		"mapUsers": [{"userARN": "arn:aws-us-gov:iam::012345678901:user/d", "username": "d"}],
		"mapAccounts": ["012345678901", "000000000001", "012345670123"],
		"scrubbedAccounts": ["012345678901"],
		"reservedPrefixConfig": {"backendMode": "MountedFile", "usernamePrefixReserveList": ["system:", "aws:"]}
	}
}"#;

const TOML: &str = r#"
clusterID = "here"
acceptedClusterIDs = ["there"]

[server]
port = 1234
partition = "aws-us-gov"
allowedRegions = ["us-gov-west-1"]
extraSTSHosts = ["sts.example.com"]
maxTokenAge = "5000s"
sts = { timeout = "2s", caFile = "/ca.pem", connectTo = { "sts.example.com" = "10.0.0.1:443" } }
healthAddress = "[::1]:9"
clientCAFile = "/clients.pem"
compat.anySSOSuffix = true
limits = { connections = 7, handshakes = 8, stsInFlight = 9, body = 30000 }
mapAccounts = ["012345678901", "000000000001", "012345670123"]
scrubbedAccounts = ["012345678901"]

[[server.mapRoles]]
roleARN = "arn:aws-us-gov:iam::012345678901:role/a"
username = "a:{{SessionName}}"
groups = ["x", "y"]

[[server.mapRoles]]
rolePattern = "arn:aws-us-gov:iam::012345678901:role/b-*"
username = "b"
groups = ["x", "y"]

[[server.mapRoles]]
username = "c"
sso = { permissionSetName = "Set", accountID = "012345670123", partition = "aws-us-gov" }

[[server.mapUsers]]
userARN = "arn:aws-us-gov:iam::012345678901:user/d"
username = "d"

[[server.reservedPrefixConfig]]
backendMode = "MountedFile"
usernamePrefixReserveList = ["system:", "aws:"]
"#;

#[test]
fn yaml_in_any_case_json_and_toml_of_one_configuration_mean_the_same() {
    // An age that all may have, written in three ways.
    let yaml = YAML.replace("5000ms", "300000ms");
    let json = JSON.replace("\"maxTokenAge\": 5000", "\"maxTokenAge\": 300");
    let toml = TOML.replace("5000s", "300s");
    let [yaml, json, toml] =
        [("c.yaml", &yaml), ("c.json", &json), ("c.toml", &toml)].map(|(name, text)| {
            let Checked { value, warnings } = checked(name, text).unwrap();
            assert_eq!(warnings, [], "{name}");
            let mut rules = rules(read(name, text).unwrap());
            let mut lines = Vec::new();
            for list in [&mut rules.roles, &mut rules.users] {
                let without = list.iter().map(|mut mapping| {
                    lines.push(mapping.line.take().unwrap().get());
                    mapping
                });
                *list = without.collect();
            }
            (value, rules, lines)
        });
    assert_eq!(yaml.2, [16, 17, 18, 21]);
    assert_eq!(json.2, [10, 11, 12, 14]);
    assert_eq!(toml.2, [19, 24, 29, 33]);
    for (other, rules, _) in [&json, &toml] {
        assert_eq!(yaml.0.fixed, other.fixed);
        assert_eq!(yaml.0.policy.accept, other.policy.accept);
        assert_eq!(yaml.0.policy.limits, other.policy.limits);
        assert_eq!(yaml.0.policy.scrubbed, other.policy.scrubbed);
        assert_eq!(yaml.1, *rules);
    }
    let (settings, rules, _) = yaml;
    let accounts: Vec<_> = rules.accounts.iter().map(ToString::to_string).collect();
    assert_eq!(accounts, ["012345678901", "000000000001", "012345670123"]);
    let prefixes: Vec<_> = rules.reserved_prefixes.iter().map(|prefix| &**prefix).collect();
    assert_eq!(prefixes, ["system:", "aws:"]);
    assert!(rules.any_sso_suffix && rules.sso);
    let ids: Vec<_> = settings.policy.accept.cluster_ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids, ["here", "there"]);
    assert_eq!(settings.fixed.sts.timeout, Duration::from_secs(2));
}

#[test]
fn a_file_that_is_kept_whole_for_an_anchor_means_the_same_as_one_that_is_not() {
    let body = format!(
        "clusterID: c\nserver:\n  mapUsers:\n  - {{userARN: 'arn:aws:iam::012345678901:user/a', username: a, groups: [g, system:masters]}}\n  - {{<<: {{username: b, groups: [g]}}, userARN: 'arn:aws:iam::012345678901:user/b'}}\n  - {{userARN: 'arn:aws:iam::012345678901:user/A', username: c, other: x}}\n  mapRoles:\n  - {{rolePattern: '{ADMIN}*', username: p}}\n  - {{roleARN: '{ADMIN}/x', username: x}}\n  - {{roleARN: '{ADMIN}/y/x', username: y}}\n  - {{sso: {{permissionSetName: View, accountID: '012345678901'}}, username: v}}\n"
    );
    // Columns move, lines do not. The last begins to be kept in the middle of a list.
    let first = body.replace("clusterID: c", "clusterID: &c c");
    let middle = body.replace("username: b, groups: [g]", "username: &b b, groups: [g]");
    let plain = read("c.yaml", &body).unwrap();
    let tell = |text: &str| {
        let warnings = checked("c.yaml", text).unwrap().warnings;
        let line = |warning: &Warning| {
            let told = warning.to_string();
            let (place, rest) = told.split_once(": ").unwrap();
            (place.rsplit_once(':').unwrap().0.to_owned(), rest.to_owned())
        };
        warnings.iter().map(line).collect::<Vec<_>>()
    };
    let (rules_of_it, told) = (rules(plain), tell(&body));
    assert_eq!((rules_of_it.users.len(), rules_of_it.roles.len(), told.len()), (3, 4, 4));
    for kept in [first, middle] {
        assert_eq!(rules(read("c.yaml", &kept).unwrap()), rules_of_it, "{kept}");
        assert_eq!(tell(&kept), told, "{kept}");
    }

    let bad = "  mapRoles:\n  - ~\n  - x\n  - [y]\n  - {roleARN: nonsense, username: z}\n";
    let faults = |head: &str| {
        let text = format!("{head}\nserver:\n{bad}");
        let told = checked("c.yaml", &text).unwrap_err();
        told.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let told = faults("clusterID: c");
    assert_eq!(told.len(), 6, "{told:#?}");
    let fourth = "c.yaml:7:15: server.mapRoles[3].roleARN: \"nonsense\" does not name";
    assert!(told[5].starts_with(fourth), "{told:#?}");
    assert_eq!(faults("clusterID: &c c"), told);
}

#[test]
fn anchors_are_read_and_bombs_of_them_refused_at_once() {
    let text = format!(
        "clusterID: c\nx-base: &base {{username: u, groups: &g [a]}}\nserver:\n  mapRoles:\n  - <<: *base\n    roleARN: {ADMIN}\n  - {{roleARN: '{ADMIN}2', username: v, groups: *g}}\n"
    );
    let rules = rules(read("c.yaml", &text).unwrap());
    let names: Vec<_> = rules.roles.iter().map(|role| (role.username, role.groups)).collect();
    let groups = vec!["a".parse().unwrap()];
    let expected = ["u", "v"].map(|name| (name.parse().unwrap(), groups.clone()));
    assert_eq!(names, expected);

    let mut wide = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut deep = "a0: &a0 {x: y}\n".to_owned();
    for n in 1..100 {
        let items = vec![format!("*a{}", n - 1); 9].join(", ");
        wide.push_str(&format!("a{n}: &a{n} [{items}]\n"));
        deep.push_str(&format!("a{n}: &a{n} {{<<: *a{}}}\n", n - 1));
    }
    // Expanded, this would be 10^95 values.
    let told = read("c.yaml", &wide).unwrap_err();
    assert!(
        told.ends_with("more than 4000000 values, aliases counted as often as they are used (write fewer aliases)"),
        "{told}"
    );
    let told = read("c.yaml", &deep).unwrap_err();
    assert_eq!(told, "c.yaml:64:16: nested deeper than 64 levels (flatten it)");
}

#[test]
fn depth_is_bounded_in_every_format() {
    for (name, head) in [("c.yaml", ""), ("c.json", ""), ("c.toml", "a = ")] {
        for depth in [100, 20_000] {
            let text = format!("{head}{}{}", "[".repeat(depth), "]".repeat(depth));
            let told = read(name, &text).unwrap_err();
            assert!(told.contains("nested deeper than 64") || told.contains("recursion"), "{told}");
        }
    }
}

#[test]
fn a_file_above_the_limit_is_not_looked_at() {
    let bytes = vec![b'#'; Document::MAX_LEN + 1];
    let told = Document::read(&bytes, Path::new("c.yaml")).unwrap_err().to_string();
    assert_eq!(
        told,
        "c.yaml: it holds 33554433 bytes; at most 33554432 are read (use rolePattern or sso entries that cover many roles)"
    );
}

#[test]
fn blank_files_are_blank_configurations_and_others_must_be_maps() {
    for (name, text) in [
        ("c.yaml", ""),
        ("c.yml", "---\n# no\n"),
        ("c.json", "null"),
        ("c.json", " {}\n"),
        ("c.toml", ""),
        ("c.yaml", "\u{feff}clusterID:\n"),
        ("c.yaml", "server:\nclusterID: ~\n"),
    ] {
        let told = checked(name, text).unwrap_err();
        let missing = "clusterID: cluster ID cannot be empty (set clusterID, or give --cluster-id)";
        assert!(told.ends_with(missing), "{told}");
    }
    for (name, text, found) in [("c.yaml", "x", "text"), ("c.json", "[]", "a list")] {
        let told = checked(name, text).unwrap_err();
        assert!(told.contains(&format!("{name}:1:1: expected a mapping, found {found}")), "{told}");
    }
}

fn rules(mut document: Document) -> RulesInput {
    let (mut piles, mut found) = document.take();
    let found = &mut found;
    let root = server::root(Some(&document), found);
    let server = root.section("server", crate::config::keys::SERVER, found);
    server::rules(&server, &mut piles, &ServerOverrides::default(), Face::Own, found)
}
