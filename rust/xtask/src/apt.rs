//! What apt on this machine is set up with: the Debian mirrors, and the settings that a download needs.

use std::fs;
use std::process::Command;

/// Returns the mirrors of Debian's main archive that apt uses, in the order of its files. apt reads its sources itself, in either of
/// their formats.
pub(crate) fn debian_mirrors() -> Vec<String> {
    let format = "$(SITE) $(RELEASE) $(COMPONENT)";
    mirrors_in(&output("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]))
}

/// Returns the proxy and certificate settings of apt, as lines of an apt configuration file.
pub(crate) fn transport_settings() -> String {
    transport_settings_in(&output("apt-config", &["dump"]))
}

/// What a command prints; nothing where there is no such command.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Takes lines of address, release and component. The security archive lacks most packages, and other vendors lack all of them.
fn mirrors_in(targets: &str) -> Vec<String> {
    let mut mirrors: Vec<String> = Vec::new();
    for line in targets.lines() {
        let [address, release, "main"] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
        let address = address.trim_end_matches('/');
        let address = match address.strip_prefix("mirror+file:") {
            // Cloud images keep the address in a file of its own.
            Some(list) => first_address(&fs::read_to_string(list).unwrap_or_default()),
            None => Some(address.to_owned()).filter(|address| address.ends_with("/debian")),
        };
        mirrors.extend(address.filter(|address| !release.contains("security") && !mirrors.contains(address)));
    }
    mirrors
}

fn first_address(list: &str) -> Option<String> {
    let line = list.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.split_whitespace().next().map(|address| address.trim_end_matches('/').to_owned())
}

fn transport_settings_in(dump: &str) -> String {
    let wanted = ["acquire::http::", "acquire::https::", "acquire::retries", "acquire::forceipv"];
    dump.lines()
        .filter(|line| wanted.iter().any(|prefix| line.to_ascii_lowercase().starts_with(prefix)))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_main_archive_of_debian_is_a_mirror() {
        let targets = "http://a.example/debian/ bookworm main\nhttp://a.example/debian bookworm-updates main\n\
             http://sec.example/debian bookworm-security main\nhttp://a.example/debian bookworm contrib\n\
             https://tool.example/apt stable main\nhttp://b.example/debian sid main\nmirror+file:/none sid main\n";
        assert_eq!(mirrors_in(targets), ["http://a.example/debian", "http://b.example/debian"]);
        assert_eq!(
            first_address("# x\n\nhttp://c.example/debian/ main\n").as_deref(),
            Some("http://c.example/debian")
        );
    }

    #[test]
    fn only_transport_settings_are_taken_over() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"3\";\n";
        let expected = "Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::Retries \"3\";\n";
        assert_eq!(transport_settings_in(dump), expected);
    }
}
