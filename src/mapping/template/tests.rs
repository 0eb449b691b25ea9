use proptest::prelude::*;

use super::*;

fn identity(session_name: &str) -> Identity {
    Identity {
        arn: "arn:aws:sts::012345678901:assumed-role/Dev/x".parse().unwrap(),
        account: "012345678901".parse().unwrap(),
        user_id: "AROAEXAMPLE".into(),
        session_name: session_name.into(),
        access_key_id: "ASIAEXAMPLE".into(),
        sts_host: "sts.amazonaws.com".into(),
    }
}

fn render(template: &str, session: &str, dns: Option<&str>) -> Result<Box<str>, RenderFault> {
    super::render(template.parse::<Template>().unwrap().as_str(), &identity(session), dns)
}

#[test]
fn every_placeholder_has_its_value() {
    let instance = "i-0123abcd";
    for (template, session, dns, name) in [
        ("admin", "s", None, "admin"),
        ("", "s", None, ""),
        ("{{AccountID}}", "s", None, "012345678901"),
        ("{{AccountID}}:{{AccountID}}", "s", None, "012345678901:012345678901"),
        ("u:{{SessionName}}", "jdoe@example.com", None, "u:jdoe-example.com"),
        ("u:{{SessionNameRaw}}", "jdoe@example.com", None, "u:jdoe@example.com"),
        ("{{AccessKeyID}}", "s", None, "ASIAEXAMPLE"),
        ("{{SessionName}}", "", None, ""),
        (
            "system:node:{{EC2PrivateDNSName}}",
            instance,
            Some("ip-10-0-0-1.ec2.internal"),
            "system:node:ip-10-0-0-1.ec2.internal",
        ),
        ("cluster-administrator:{{AccountID}}", "s", None, "cluster-administrator:012345678901"),
        ("{{", "s", None, "{{"),
        ("}}", "s", None, "}}"),
        ("}}{{", "s", None, "}}{{"),
        ("a}}b{{AccountID}}", "s", None, "a}}b012345678901"),
        ("a}}}b{{c", "s", None, "a}}}b{{c"),
        ("{{ {{AccountID}}", "s", None, "{{ 012345678901"),
        ("{{{AccountID}}}", "s", None, "{012345678901}"),
        ("{{{{AccountID}}}}", "s", None, "{{012345678901}}"),
        ("é{{AccountID}}é", "s", None, "é012345678901é"),
        ("{AccountID}", "s", None, "{AccountID}"),
    ] {
        assert_eq!(render(template, session, dns).as_deref(), Ok(name), "{template}");
    }
}

#[test]
fn a_substituted_value_is_not_substituted_again() {
    let name = render("{{SessionNameRaw}}", "{{AccessKeyID}}", None);
    assert_eq!(name.as_deref(), Ok("{{AccessKeyID}}"));
    let name = render("{{SessionNameRaw}}{{AccountID}}", "{{", None);
    assert_eq!(name.as_deref(), Ok("{{012345678901"));
    let name = render("{{{{SessionNameRaw}}}}", "AccountID", None);
    assert_eq!(name.as_deref(), Ok("{{AccountID}}"));
}

#[test]
fn unknown_variables_are_named() {
    for (template, variable) in [
        ("{{SessionNam}}", "{{SessionNam}}"),
        ("{{ SessionName }}", "{{ SessionName }}"),
        ("{{sessionname}}", "{{sessionname}}"),
        ("{{AccountId}}", "{{AccountId}}"),
        ("x{{AccountID}}{{Nope}}y", "{{Nope}}"),
        ("{{}}", "{{}}"),
        ("{{a}b}}", "{{a}b}}"),
    ] {
        let fault = TemplateFault::Unknown(variable.into());
        assert_eq!(template.parse::<Template>(), Err(fault), "{template}");
    }
    let told = "{{Nope}}".parse::<Template>().unwrap_err().to_string();
    assert!(told.starts_with("unknown template variable \"{{Nope}}\": known are {{EC2"));
    let long = "x".repeat(Template::MAX_LEN + 1);
    assert_eq!(long.parse::<Template>(), Err(TemplateFault::Length(2049)));
}

#[test]
fn system_may_be_written_but_not_smuggled() {
    let dns = Some("ip-10-0-0-1.ec2.internal");
    for (template, session, rendered) in [
        ("system:node:{{EC2PrivateDNSName}}", "i-0123abcd", true),
        ("system:masters", "s", true),
        ("system:{{SessionName}}", "s", true),
        ("System:{{SessionName}}", "s", true),
        ("x{{SessionName}}", "system:masters", true),
        ("{{SessionName}}", "system", true),
        ("{{SessionName}}", "system:masters", false),
        ("{{SessionNameRaw}}", "system:masters", false),
        ("{{SessionName}}:masters", "system", false),
        ("sys{{SessionName}}", "tem:masters", false),
        ("system{{SessionName}}", ":masters", false),
        ("{{SessionName}}system:masters", "", false),
        ("s{{SessionName}}{{SessionNameRaw}}", "ystem:", false),
    ] {
        match render(template, session, dns) {
            Ok(_) => assert!(rendered, "{template} {session}"),
            Err(fault) => {
                assert_eq!((fault, rendered), (RenderFault::System, false), "{template}");
            }
        }
    }
}

#[test]
fn each_fault_is_the_one_that_is_named() {
    let long = "{{EC2PrivateDNSName}}".repeat(90);
    let dns = "d".repeat(64);
    for (template, session, dns, fault) in [
        ("{{EC2PrivateDNSName}}", "i-aaaaa", Some("d"), RenderFault::NotAnInstance),
        ("{{EC2PrivateDNSName}}", "i-0123ABCD", Some("d"), RenderFault::NotAnInstance),
        ("{{EC2PrivateDNSName}}", "", Some("d"), RenderFault::NotAnInstance),
        ("{{EC2PrivateDNSName}}", "i-0123abcd", None, RenderFault::PrivateDnsMissing),
        ("{{EC2PrivateDNSName}}", "i-0123abcd", Some(""), RenderFault::PrivateDnsMissing),
        (
            "{{EC2PrivateDNSName}}",
            "i-0123abcd",
            Some("a\nb"),
            RenderFault::Character(Variable::Ec2PrivateDnsName),
        ),
        ("{{SessionName}}", "a b", None, RenderFault::Character(Variable::SessionName)),
        (
            "{{SessionNameRaw}}",
            "a\u{202e}b",
            None,
            RenderFault::Character(Variable::SessionNameRaw),
        ),
        (&long, "i-0123abcd", Some(&dns), RenderFault::Length),
    ] {
        assert_eq!(render(template, session, dns), Err(fault), "{template} {session:?}");
    }
}

#[test]
fn a_fault_names_the_placeholder_as_it_is_written() {
    let told = RenderFault::Character(Variable::SessionName).to_string();
    let want = "the value of {{SessionName}} holds a character that is not printable ASCII";
    assert_eq!(told, want);
}

#[test]
fn lengths_are_judged_to_the_byte() {
    let longest = "é".repeat(Template::MAX_LEN / 2);
    assert_eq!(longest.parse::<Template>().unwrap().to_string(), longest);
    let longer = format!("{longest}x").parse::<Template>();
    assert_eq!(longer, Err(TemplateFault::Length(2049)));

    let session = "s".repeat(Template::MAX_RENDERED - 2);
    let name = render("a{{SessionName}}b", &session, None).unwrap();
    assert_eq!(name.len(), 4096);
    assert_eq!(render("a{{SessionName}}bc", &session, None), Err(RenderFault::Length));
}

#[test]
fn a_lint_can_ask_what_the_caller_chooses() {
    for (template, literal, session_only, system) in [
        ("admin", true, false, false),
        ("{{SessionName}}", false, true, false),
        ("{{SessionNameRaw}}", false, true, false),
        ("u:{{SessionName}}", false, false, false),
        ("system:{{SessionName}}", false, false, true),
        ("system:node:{{EC2PrivateDNSName}}", false, false, false),
    ] {
        let parsed: Template = template.parse().unwrap();
        assert_eq!(parsed.is_literal(), literal, "{template}");
        assert_eq!(parsed.is_session_only(), session_only, "{template}");
        assert_eq!(parsed.is_system_with_session(), system, "{template}");
    }
}

proptest! {
    #[test]
    fn rendering_is_one_pass_from_left_to_right(
        template in "(\\{\\{(AccountID|SessionName|SessionNameRaw|AccessKeyID)\\}\\}|[{}a:é]){0,8}",
        session in "[{}a@:]{0,6}|\\{\\{AccountID\\}\\}",
    ) {
        let Ok(parsed) = template.parse::<Template>() else { return Ok(()) };
        let tamed = session.replace('@', "-");
        let values = [
            ("{{AccountID}}", "012345678901"),
            ("{{SessionName}}", &*tamed),
            ("{{SessionNameRaw}}", &*session),
            ("{{AccessKeyID}}", "ASIAEXAMPLE"),
        ];
        let (mut naive, mut rest) = (String::new(), &*template);
        while let Some(first) = rest.chars().next() {
            match values.iter().find(|(placeholder, _)| rest.starts_with(placeholder)) {
                Some((placeholder, value)) => {
                    naive.push_str(value);
                    rest = &rest[placeholder.len()..];
                }
                None => {
                    naive.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        let rendered = super::render(parsed.as_str(), &identity(&session), None);
        prop_assert_eq!(rendered.as_deref(), Ok(&*naive));
    }
}
