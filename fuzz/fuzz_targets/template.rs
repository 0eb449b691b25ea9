//! A template that is accepted renders for anyone to what a plain reading of it says, or to the
//! fault that is the reason why not; nobody gets to `system:` by way of a value. The lines are the
//! template, the session's name, and the private DNS name.
#![no_main]

use iamgate::identity::Identity;
use iamgate::mapping::{
    InstanceId, Mapping, RenderFault, Rules, RulesInput, Template, TemplateFault, Variable, Who,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let template = lines.next().unwrap_or_default();
    let session = lines.next().unwrap_or_default();
    let private_dns = lines.next();
    match template.parse::<Template>() {
        Ok(parsed) => is_rendered(&parsed, template, session, private_dns),
        Err(fault) => {
            let told = fault.to_string();
            assert!(told.len() < 1_200 && !told.contains(char::is_control), "{told}");
            match fault {
                TemplateFault::Unknown(variable) => assert!(template.contains(&*variable)),
                TemplateFault::Length(length) => assert_eq!(length, template.len()),
            }
        }
    }
});

fn is_rendered(parsed: &Template, template: &str, session: &str, private_dns: Option<&str>) {
    assert_eq!((parsed.as_str(), &*parsed.to_string()), (template, template));
    let identity = Identity {
        arn: "arn:aws:sts::012345678901:assumed-role/Dev/x".parse().expect("an ARN"),
        account: "012345678901".parse().expect("an account"),
        user_id: "AROAEXAMPLE".into(),
        session_name: session.into(),
        access_key_id: "ASIAEXAMPLE".into(),
        sts_host: "sts.amazonaws.com".into(),
    };
    let rules = Rules::new(RulesInput {
        roles: [Mapping {
            who: Who::Arn(identity.arn.clone()),
            username: parsed.clone(),
            groups: vec![parsed.clone()],
            line: None,
        }]
        .into_iter()
        .collect(),
        reserved_prefixes: vec![RESERVED.into()],
        ..RulesInput::default()
    });
    let found = rules.find(&identity).expect("the role is mapped");
    let wants_dns = parsed.variables().any(|one| one == Variable::Ec2PrivateDnsName);
    assert_eq!(found.needs_private_dns(), wants_dns);
    let Plain { name, literal, used } =
        Plain::read(template, session, private_dns.unwrap_or_default());
    let uses = |variable: Variable| used.contains(&variable.as_str());
    let literal_system = template.starts_with("system:");
    match found.render(&identity, private_dns) {
        Ok(user) => {
            assert_eq!((&*user.name, &*user.groups), (&*name, &[name.as_str().into()][..]));
            assert!(!user.name.starts_with("system:") || literal_system, "{template}: {name}");
            assert!(!user.name.is_empty() && !user.name.starts_with(RESERVED));
            assert!(user.name.len() <= Template::MAX_RENDERED);
            let braces = |text: &str| text.contains(['{', '}']);
            if ![&literal, session, private_dns.unwrap_or_default()].into_iter().any(braces) {
                assert!(!braces(&name), "a placeholder is left: {name}");
            }
        }
        Err(RenderFault::Character(variable)) => {
            let value = match variable {
                Variable::Ec2PrivateDnsName => private_dns.unwrap_or_default(),
                Variable::SessionName | Variable::SessionNameRaw => session,
                Variable::AccountId | Variable::AccessKeyId => "",
            };
            assert!(uses(variable) && !value.bytes().all(|b| b.is_ascii_graphic()));
        }
        Err(RenderFault::Empty) => assert_eq!(name, ""),
        Err(RenderFault::Length) => assert!(name.len() > Template::MAX_RENDERED),
        Err(RenderFault::NotAnInstance) => {
            assert!(wants_dns && session.parse::<InstanceId>().is_err());
        }
        Err(RenderFault::PrivateDnsMissing) => {
            assert!(wants_dns && private_dns.unwrap_or_default().is_empty());
        }
        Err(RenderFault::ReservedPrefix(prefix)) => assert!(name.starts_with(&*prefix)),
        Err(RenderFault::System) => assert!(name.starts_with("system:") && !literal_system),
    }
}

/// The template read from left to right, with no idea of what a placeholder might be but the five
/// names.
struct Plain {
    name: String,
    /// The template without its placeholders.
    literal: String,
    used: Vec<&'static str>,
}

impl Plain {
    fn read(template: &str, session: &str, private_dns: &str) -> Self {
        let tamed = session.replace('@', "-");
        let values = [private_dns, "012345678901", &tamed, session, "ASIAEXAMPLE"];
        let (mut name, mut literal, mut used) = (String::new(), String::new(), Vec::new());
        let mut rest = template;
        while let Some(first) = rest.chars().next() {
            let known = VARIABLES.into_iter().zip(values).find_map(|(variable, value)| {
                let after = rest.strip_prefix("{{")?.strip_prefix(variable)?.strip_prefix("}}")?;
                Some((variable, value, after))
            });
            match known {
                Some((variable, value, after)) => {
                    used.push(variable);
                    name.push_str(value);
                    rest = after;
                }
                None => {
                    name.push(first);
                    literal.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        Self { name, literal, used }
    }
}

const VARIABLES: [&str; 5] =
    ["EC2PrivateDNSName", "AccountID", "SessionName", "SessionNameRaw", "AccessKeyID"];
const RESERVED: &str = "aws:";
