//! References between variables, `$(NAME)`, as the kubelet replaces them: `$$` is a dollar, what is unknown stays.

/// Replaces them.
pub(super) fn expand<'a>(value: &str, known: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let name = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        rest = match (after.strip_prefix('$'), name) {
            (Some(after), _) => {
                expanded.push('$');
                after
            }
            (None, Some((name, after))) => {
                match known(name) {
                    Some(value) => expanded.push_str(value),
                    None => expanded.extend(["$(", name, ")"]),
                }
                after
            }
            (None, None) => {
                expanded.push('$');
                after
            }
        };
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_in_a_pod() {
        for (value, want) in [
            ("plain", "plain"),
            ("http://$(HOST):80/", "http://cart:80/"),
            ("$(HOST)$(HOST)", "cartcart"),
            ("$(NONE)", "$(NONE)"),
            ("$$(HOST)", "$(HOST)"),
            ("$HOST $ $", "$HOST $ $"),
            ("$(HOST", "$(HOST"),
            ("$$$(HOST)", "$cart"),
        ] {
            assert_eq!(expand(value, |name| (name == "HOST").then_some("cart")), want, "{value}");
        }
    }
}
