//! Under which name the program was called, which decides defaults and exit codes.

use std::path::Path;

/// The two faces of the one binary.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Face {
    /// `iamgate`: our own defaults; exit code 2 for a wrong command line.
    Own,
    /// `aws-iam-authenticator` or `heptio-authenticator-aws`: that program's defaults, exit code 1
    /// for whatever went wrong.
    Reference,
}

impl Face {
    /// Reads the face off the path that the program was called by (`argv[0]`).
    pub fn of(program: &Path) -> Self {
        match program.file_name().and_then(|name| name.to_str()) {
            Some("aws-iam-authenticator" | "heptio-authenticator-aws") => Self::Reference,
            Some(_) | None => Self::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_wherever_the_file_lies() {
        for (path, face) in [
            ("/usr/bin/aws-iam-authenticator", Face::Reference),
            ("heptio-authenticator-aws", Face::Reference),
            ("/usr/bin/iamgate", Face::Own),
            ("/aws-iam-authenticator/iamgate", Face::Own),
            ("", Face::Own),
        ] {
            assert_eq!(Face::of(Path::new(path)), face, "{path}");
        }
    }
}
