use super::*;

fn with(name: &str, text: &str) -> Templates {
    Templates::with([(name, text)]).unwrap()
}

fn kubeconfig(text: &str) -> Result<String, RenderFault> {
    with("kubeconfig.yaml", text).render(&WebhookKubeconfig::default())
}

fn pod(templates: &Templates) -> Result<String, RenderFault> {
    let image = "registry.example.com/iamgate:v1".parse().unwrap();
    templates.render(&StaticPod { container: Container::default(), program: Program::Image(image) })
}

#[test]
fn a_template_of_the_callers_takes_the_place_of_ours() {
    assert_eq!(
        kubeconfig("server: {{ url }}\n").unwrap(),
        "server: https://127.0.0.1:21362/authenticate\n"
    );
    let templates = with("container.yaml", "- image: {{ image }}\n");
    let text = pod(&templates).unwrap();
    assert!(text.contains("  - image: registry.example.com/iamgate:v1\n  # Directory"), "{text}");
}

#[test]
fn what_a_template_puts_out_is_quoted_whatever_way_it_goes() {
    let value = "a: #b\n";
    for (template, text) in [
        ("{{ value }}", r#""a: #b\n""#),
        ("{{ 'x-' ~ value }}", r#""x-a: #b\n""#),
        ("{{ value ~ 'x' }}", r#""a: #b\nx""#),
        ("{% set copy = value %}{{ copy }}", r#""a: #b\n""#),
        ("{% for each in [value] %}{{ each }}{% endfor %}", r#""a: #b\n""#),
        ("{% filter indent(2, true) %}k: {{ value }}{% endfilter %}", r#"  k: "a: #b\n""#),
        ("{{ [value] | join(',') }}", r#""a: #b\n""#),
        ("{{ value | upper }}", r#""A: #B\n""#),
        ("{{ 5 }}", "5"),
        ("{{ true }}", "true"),
        ("{{ none }}", "null"),
    ] {
        let templates = with("rbac.yaml", template);
        let variables = minijinja::context! { value };
        assert_eq!(templates.rendered("rbac.yaml", &variables).unwrap(), text, "{template}");
    }
}

#[test]
fn a_template_that_nothing_asks_for_is_refused_with_the_names_that_there_are() {
    let fault = Templates::with([("static_pod.yaml", "")]).unwrap_err();
    assert_eq!(fault, RenderFault::UnknownTemplate { name: "static_pod.yaml".into() });
    assert_eq!(
        fault.to_string(),
        "there is no template called \"static_pod.yaml\": expected apiserver-patch.yaml, \
         audit-policy.yaml, config.yaml, configmap.yaml, container.yaml, daemonset.yaml, \
         iamgate.service, iamgate.sysusers, kubeconfig.yaml, rbac.yaml, static-pod.yaml",
    );
}

#[test]
fn the_limit_is_the_last_length_that_passes() {
    let long = "#".repeat(Templates::MAX_LEN);
    assert_eq!(kubeconfig(&long).unwrap(), long);
    let fault = Templates::with([("rbac.yaml", format!("{long}#"))]).unwrap_err();
    assert_eq!(fault, RenderFault::TooLong { name: "rbac.yaml" });
}

#[test]
fn an_undefined_variable_is_named_with_its_template_and_line() {
    for (text, line, variable) in [
        ("a: 1\nb: {{ uri }}\n", 2, "uri"),
        ("{{ url }}{{ ca.file }}", 1, "ca.file"),
        ("\n\n{% if verbose %}x{% endif %}", 3, "verbose"),
        ("{% for each in many %}{% endfor %}", 1, "many"),
        ("{{ 'x' ~ surplus }}", 1, "surplus"),
        ("{% for each in [url] %}\n{{ each.name }}\n{% endfor %}", 2, "in \"{{ each.name }}\""),
    ] {
        let fault = kubeconfig(text).unwrap_err();
        let name = "kubeconfig.yaml".into();
        assert_eq!(
            fault,
            RenderFault::Undefined { name, line, variable: variable.into() },
            "{text}"
        );
    }
    let fault = pod(&with("container.yaml", "- name: x\n  image: {{ img }}\n")).unwrap_err();
    assert_eq!(fault.to_string(), "template container.yaml, line 2: there is no variable img");
}

#[test]
fn a_template_that_is_no_template_is_told_with_its_line() {
    for (text, line, problem) in [
        ("a\n{% if %}", 2, "syntax error: unexpected end of block"),
        ("{{ url | shout }}", 1, "unknown filter: filter shout is unknown"),
        ("{{ [url] }}", 1, "not a primitive: only text, numbers and truth values can be put out"),
        (
            "\n{% include 'else.yaml' %}",
            2,
            "template not found: tried to include non-existing template 'else.yaml'",
        ),
    ] {
        let fault = kubeconfig(text).unwrap_err();
        let RenderFault::Template { name, line: at, problem: told } = &fault else {
            panic!("{fault:?}")
        };
        assert_eq!((&**name, *at), ("kubeconfig.yaml", line), "{fault}");
        assert_eq!(&**told, problem);
    }
    let fault = kubeconfig("{% include 'kubeconfig.yaml' %}").unwrap_err();
    assert!(fault.to_string().contains("recursion"), "{fault}");
}

#[test]
fn the_same_values_give_the_same_bytes() {
    let text = pod(&Templates::default()).unwrap();
    for _ in 0..8 {
        assert_eq!(pod(&Templates::default()).unwrap(), text);
    }
}
