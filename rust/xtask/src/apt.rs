//! What apt on this machine is set up with: the Debian mirror, and the settings that fetching needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The mirrors of Debian's main archive that apt uses, in the order of its files.
pub(crate) fn debian_mirrors(apt: &Path) -> Vec<String> {
    let mut files = vec![apt.join("sources.list")];
    let mut parts: Vec<PathBuf> =
        fs::read_dir(apt.join("sources.list.d")).into_iter().flatten().flatten().map(|e| e.path()).collect();
    parts.sort();
    files.append(&mut parts);
    let mut mirrors: Vec<String> = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let found = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line_sources(&text),
            Some("sources") => deb822_sources(&text),
            _ => continue,
        };
        for address in found.into_iter().filter_map(|source| source.debian_mirror()) {
            // Cloud images keep the address in a file of its own.
            let address = match address.strip_prefix("mirror+file:") {
                Some(list) => first_line(Path::new(list)),
                None => Some(address),
            };
            mirrors.extend(address.filter(|address| !mirrors.contains(address)));
        }
    }
    mirrors
}

/// The proxy and certificate settings of apt, as lines of an apt configuration file.
pub(crate) fn transport_settings() -> String {
    let output = Command::new("apt-config").arg("dump").output();
    let dump = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    pick_transport_settings(&dump)
}

fn pick_transport_settings(dump: &str) -> String {
    let wanted = ["acquire::http::", "acquire::https::", "acquire::retries", "acquire::forceipv"];
    dump.lines()
        .filter(|line| wanted.iter().any(|prefix| line.to_ascii_lowercase().starts_with(prefix)))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// One entry: archive type, addresses, suites.
#[derive(Debug, Default, PartialEq)]
struct Source {
    types: Vec<String>,
    addresses: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    disabled: bool,
}

impl Source {
    /// The address, if this is Debian's own archive: not security (which has no full suites), not a vendor's.
    fn debian_mirror(self) -> Option<String> {
        let binary = self.types.iter().any(|kind| kind == "deb");
        let main = self.components.iter().any(|component| component == "main");
        let security = self.suites.iter().all(|suite| suite.contains("security"));
        let address = self.addresses.into_iter().next()?;
        let path = address.trim_end_matches('/');
        let debian = path.ends_with("/debian") || address.starts_with("mirror+file:");
        (binary && main && !security && !self.disabled && debian).then(|| path.to_owned())
    }
}

/// `deb [options] address suite component...`
fn one_line_sources(text: &str) -> Vec<Source> {
    let line = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (kind, rest) = line.split_once(char::is_whitespace)?;
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        Some(Source {
            types: vec![kind.to_owned()],
            addresses: vec![words.next()?],
            suites: vec![words.next()?],
            components: words.collect(),
            disabled: false,
        })
    };
    text.lines().filter_map(line).collect()
}

/// Stanzas of `Field: value`, with continuation lines and comments.
fn deb822_sources(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in text.replace('\r', "").split("\n\n") {
        let mut source = Source::default();
        let mut field = String::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            let value = if line.starts_with([' ', '\t']) {
                line
            } else if let Some((name, value)) = line.split_once(':') {
                field = name.trim().to_ascii_lowercase();
                value
            } else {
                continue;
            };
            let words = value.split_whitespace().map(str::to_owned);
            match field.as_str() {
                "types" => source.types.extend(words),
                "uris" => source.addresses.extend(words),
                "suites" => source.suites.extend(words),
                "components" => source.components.extend(words),
                "enabled" => source.disabled = value.trim().eq_ignore_ascii_case("no"),
                _ => {}
            }
        }
        sources.push(source);
    }
    sources
}

fn first_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.split_whitespace().next().map(|address| address.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(sources: Vec<Source>) -> Vec<String> {
        sources.into_iter().filter_map(Source::debian_mirror).collect()
    }

    #[test]
    fn one_line_format() {
        let text = "# deb http://old.example/debian sid main\n\
             deb-src http://src.example/debian bookworm main\n\
             deb http://sec.example/debian bookworm-security main\n\
             deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://a.example/debian/ bookworm main non-free # x\n\
             deb https://tool.example/apt stable main\n";
        assert_eq!(mirrors(one_line_sources(text)), ["http://a.example/debian"]);
    }

    #[test]
    fn deb822_format() {
        let text = "Types: deb\nURIs: http://off.example/debian\nSuites: sid\nComponents: main\nEnabled: no\n\n\
             Types: deb deb-src\n# a comment\nURIs: http://b.example/debian\nSuites: bookworm\n bookworm-updates\n\
             Components: main\n\n\
             Types: deb\nURIs: http://sec.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        assert_eq!(mirrors(deb822_sources(text)), ["http://b.example/debian"]);
    }

    #[test]
    fn only_transport_settings_are_taken_over() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"3\";\n";
        let expected = "Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::Retries \"3\";\n";
        assert_eq!(pick_transport_settings(dump), expected);
    }
}
