use super::*;

#[test]
fn rules_are_listed_in_the_files_order_as_they_were_written() {
    let role = format!("{ROLE}Org/Admin");
    let pattern = format!("{USER}Dev-*");
    let groups = vec!["a".parse().unwrap(), "{{AccountID}}".parse().unwrap()];
    let user = Mapping { groups, ..mapping(who(&pattern), "u0") };
    let input =
        RulesInput { users: [user].into_iter().collect(), ..input(&[&role, "sso:View"], &[]) };
    let account = "123456789012".parse().unwrap();
    let rules = Rules::new(RulesInput { accounts: vec![account], ..input });
    let listed = |kind| -> Vec<(String, String, String)> {
        rules.listed(kind).map(|(who, name, groups)| (who, name.to_owned(), groups)).collect()
    };
    let set = format!("{ROLE}AWSReservedSSO_View_*");
    let told = |who: String, name: &str, groups: &str| (who, name.to_owned(), groups.to_owned());
    assert_eq!(
        listed(RuleKind::MapRoles),
        [told(role, "r0", "[readers]"), told(set, "r1", "[readers]")]
    );
    assert_eq!(listed(RuleKind::MapUsers), [told(pattern, "u0", "[a {{AccountID}}]")]);
    assert_eq!(listed(RuleKind::MapAccounts), []);
    assert_eq!(rules.accounts().collect::<Vec<_>>(), [account]);
    assert_eq!(rules.counts(), (2, 1, 1));
}

#[test]
fn rules_are_equal_where_their_entries_are() {
    let rules = |roles: &[&str], users: &[&str]| Rules::new(input(roles, users));
    let (admin, ops) = (&*format!("{ROLE}Admin"), &*format!("{ROLE}Ops"));
    assert_eq!(rules(&[admin], &[ops]), rules(&[admin], &[ops]));
    for other in [rules(&[ops], &[ops]), rules(&[admin], &[]), rules(&[ops], &[admin])] {
        assert_ne!(rules(&[admin], &[ops]), other);
    }
}
