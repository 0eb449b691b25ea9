//! Asking the person at the terminal.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Read, Write};

use super::ExecInfo;
use crate::secret::Secret;

/// Asks a person for one line.
pub(crate) trait Prompt {
    /// Shows `question` and waits for the answer.
    ///
    /// # Errors
    /// Nobody can be asked, or there was no answer.
    fn ask(&self, question: &str) -> Result<Secret, PromptFault>;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromptFault {
    #[error("kubectl said that nobody can be asked (KUBERNETES_EXEC_INFO: interactive is false)")]
    NotInteractive,
    #[error("there is no terminal to ask at")]
    NoTerminal,
    #[error("the terminal cannot be used")]
    Terminal(#[source] io::Error),
    #[error("an MFA token code is six digits")]
    NotACode,
}

/// The terminal that the process was started from: `/dev/tty`, so that neither stdout nor a
/// redirected stdin matters; stderr and stdin where there is no such device.
///
/// Waiting for a person has no deadline; the person has Ctrl-C.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    info: ExecInfo,
}

impl Terminal {
    pub(crate) fn new(info: ExecInfo) -> Self {
        Self { info }
    }
}

impl Prompt for Terminal {
    fn ask(&self, question: &str) -> Result<Secret, PromptFault> {
        if self.info.interactive() == Some(false) {
            return Err(PromptFault::NotInteractive);
        }
        if let Ok(mut tty) = OpenOptions::new().read(true).write(true).open("/dev/tty") {
            tty.write_all(question.as_bytes()).map_err(PromptFault::Terminal)?;
            return line(tty);
        }
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Err(PromptFault::NoTerminal);
        }
        let mut stderr = io::stderr();
        stderr.write_all(question.as_bytes()).map_err(PromptFault::Terminal)?;
        line(stdin.lock())
    }
}

/// Byte by byte: what follows the line belongs to somebody else.
fn line(mut from: impl Read) -> Result<Secret, PromptFault> {
    let mut text = String::new();
    let mut byte = [0];
    while text.len() <= MAX_LINE && from.read(&mut byte).map_err(PromptFault::Terminal)? == 1 {
        match byte {
            [b'\n'] => break,
            [other] => text.push(char::from(other)),
        }
    }
    Ok(Secret::new(text.trim()))
}

/// The code that an MFA device shows. Source: AssumeRole's `TokenCode`, `[\d]{6}`.
pub(super) fn mfa_code(prompt: &impl Prompt) -> Result<Secret, PromptFault> {
    let code = prompt.ask("Assume Role MFA token code: ")?;
    match code.expose().len() == 6 && code.expose().bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(code),
        false => Err(PromptFault::NotACode),
    }
}

/// Nobody types more; a mistaken paste ends here.
const MAX_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Says(&'static str);

    impl Prompt for Says {
        fn ask(&self, _: &str) -> Result<Secret, PromptFault> {
            line(self.0.as_bytes())
        }
    }

    #[test]
    fn a_code_is_six_digits_and_nothing_else() {
        assert_eq!(mfa_code(&Says("123456\nrest")).unwrap().expose(), "123456");
        assert_eq!(mfa_code(&Says(" 000001 \r\n")).unwrap().expose(), "000001");
        for said in ["", "\n", "12345\n", "1234567\n", "12345a\n", "+12345\n", "12 345\n"] {
            let fault = mfa_code(&Says(said)).unwrap_err();
            assert!(matches!(fault, PromptFault::NotACode), "{said:?}: {fault:?}");
        }
    }

    #[test]
    fn nobody_is_asked_when_kubectl_says_so() {
        let info =
            r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;
        let env = BTreeMap::from([("KUBERNETES_EXEC_INFO".to_owned(), info.to_owned())]);
        let fault = Terminal::new(ExecInfo::read(&env)).ask("?").unwrap_err();
        assert!(matches!(fault, PromptFault::NotInteractive), "{fault:?}");
    }
}
