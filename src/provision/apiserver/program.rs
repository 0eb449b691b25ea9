//! Which of a container's words starts kube-apiserver.

/// What a container's words start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Program {
    /// kube-apiserver; the words behind this one are its flags.
    ApiServer {
        /// Its place among the words.
        own: usize,
    },
    /// Something that starts it by means that we do not read, such as a shell.
    Wrapped,
    /// Something else.
    Other,
}

const API_SERVER: &str = "kube-apiserver";

/// Programs whose words, their own flags aside, are the program that they run: Kubernetes' own
/// (kops uses it), and the two usual first processes of a container.
const RUNNERS: [&str; 3] = ["go-runner", "tini", "dumb-init"];

const SHELLS: [&str; 7] = ["ash", "bash", "busybox", "dash", "ksh", "sh", "zsh"];

/// What `command` and `args`, taken together, start.
pub(super) fn started(words: &[&str]) -> Program {
    let Some(first) = words.first() else { return Program::Other };
    if starts_here(words) {
        return Program::ApiServer { own: own_from(0, words) };
    }
    if RUNNERS.contains(&base(first))
        && let Some(at) = (1..words.len()).find(|at| !word_at(words, *at).starts_with('-'))
    {
        let rest = words.get(at..).unwrap_or_default();
        if starts_here(rest) {
            return Program::ApiServer { own: own_from(at, rest) };
        }
    }
    let mentioned = if SHELLS.contains(&base(first)) {
        words.iter().any(|word| script_mentions(word))
    } else {
        words.iter().any(|word| base(word) == API_SERVER && !word.starts_with('-'))
    };
    if mentioned { Program::Wrapped } else { Program::Other }
}

/// Whether these are the words of kube-apiserver, or of the hyperkube that held it until 1.18.
fn starts_here(words: &[&str]) -> bool {
    match base(word_at(words, 0)) {
        API_SERVER => true,
        "hyperkube" => matches!(word_at(words, 1), "apiserver" | API_SERVER),
        _ => false,
    }
}

fn own_from(at: usize, words: &[&str]) -> usize {
    if base(word_at(words, 0)) == "hyperkube" { at + 1 } else { at }
}

fn word_at<'a>(words: &[&'a str], at: usize) -> &'a str {
    words.get(at).copied().unwrap_or_default()
}

fn script_mentions(script: &str) -> bool {
    let apart = |c: char| c.is_whitespace() || "\"'`;|&(){}".contains(c);
    let words: Vec<&str> = script.split(apart).filter(|word| !word.is_empty()).collect();
    (0..words.len()).any(|at| words.get(at..).is_some_and(starts_here))
}

/// Whether an image is kube-apiserver's by its name, such as `registry.k8s.io/kube-apiserver:v1`.
pub(super) fn is_image(image: &str) -> bool {
    let name = image_name(image);
    // Until 1.16 each architecture had an image of its own.
    name == API_SERVER
        || name
            .strip_prefix(API_SERVER)
            .is_some_and(|rest| ["-amd64", "-arm", "-arm64", "-ppc64le", "-s390x"].contains(&rest))
}

/// Whether these are the words or the image of aws-iam-authenticator.
pub(super) fn is_reference(words: &[&str], image: &str) -> bool {
    let names = ["aws-iam-authenticator", "heptio-authenticator-aws"];
    names.contains(&base(word_at(words, 0))) || names.contains(&image_name(image))
}

/// The last part of an image's path, without tag and digest.
fn image_name(image: &str) -> &str {
    let name = base(image.split('@').next().unwrap_or_default());
    name.split(':').next().unwrap_or_default()
}

/// The last part of a path.
fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_starts_it_is_found_and_whatever_hides_it_is_told() {
        let own = |own| Program::ApiServer { own };
        for (words, program) in [
            (&["kube-apiserver", "--a=b"][..], own(0)),
            (&["/usr/local/bin/kube-apiserver"], own(0)),
            (&["/go-runner", "--log-file=/x", "/usr/local/bin/kube-apiserver", "--a"], own(2)),
            (&["tini", "--", "kube-apiserver"], own(2)),
            (&["/hyperkube", "apiserver", "--a"], own(1)),
            (&["/hyperkube", "kube-apiserver"], own(1)),
            (&["tini", "/hyperkube", "apiserver"], own(2)),
            (&["/bin/sh", "-c", "exec /usr/local/bin/kube-apiserver --a"], Program::Wrapped),
            (&["bash", "-c", "(/hyperkube apiserver)"], Program::Wrapped),
            (&["busybox", "sh", "-c", "kube-apiserver"], Program::Wrapped),
            (&["my-wrapper", "kube-apiserver"], Program::Wrapped),
            (&["/go-runner", "x", "kube-apiserver"], Program::Wrapped),
            (&["sh", "-c", "sleep 1"], Program::Other),
            (&["/hyperkube", "controller-manager"], Program::Other),
            (&["kube-apiserver-proxy"], Program::Other),
            (&["proxy", "--of=kube-apiserver"], Program::Other),
            (&[], Program::Other),
        ] {
            assert_eq!(started(words), program, "{words:?}");
        }
    }

    #[test]
    fn images_are_known_by_the_last_part_of_their_path() {
        for (image, is) in [
            ("registry.k8s.io/kube-apiserver:v1.31.0", true),
            ("localhost:5000/kube-apiserver", true),
            ("k8s.gcr.io/kube-apiserver-amd64:v1.12.0@sha256:00", true),
            ("kube-apiserver-network-proxy:v1", false),
            ("", false),
        ] {
            assert_eq!(is_image(image), is, "{image}");
        }
        assert!(is_reference(&["/aws-iam-authenticator", "server"], ""));
        assert!(is_reference(&[], "public.ecr.aws/x/aws-iam-authenticator:v0.7.18"));
        assert!(!is_reference(&["iamgate"], "iamgate:1"));
    }
}
