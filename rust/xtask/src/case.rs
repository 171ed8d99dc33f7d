//! The head of an engine test case: the processes, the time limit, and the expected errors.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use fs_err as fs;
use regex::Regex;

use crate::files;

/// One file in `tests/engine/cases`, or one of the variants that it lists.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `file`, or `file@variant`.
    pub(crate) name: String,
    /// The name of the file, without its ending.
    pub(crate) script: String,
    /// More arguments for its processes.
    pub(crate) arguments: Vec<String>,
    pub(crate) processes: Vec<Role>,
    pub(crate) timeout: Duration,
    pub(crate) expected: Vec<Regex>,
    /// Error lines that may appear.
    pub(crate) allowed: Vec<Regex>,
    /// Runs only when long tests are asked for.
    pub(crate) long: bool,
    /// Runs alone: it measures, or needs the whole machine.
    pub(crate) serial: bool,
}

/// One process of a case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Role {
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) program: Program,
}

/// What runs a process of a case.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Program {
    #[value(skip)]
    Engine4,
    /// The same engine, with the scripts of a web export in place of the addon.
    Web,
    Engine3,
    Node,
    Python,
    /// A script for Node that drives the browser.
    Chromium,
    /// A script for Python that uses the library.
    Curl,
    /// A script for the shell that uses the program; only in the documentation.
    #[value(skip)]
    CurlShell,
    /// A script for the shell that runs the proxy.
    Nginx,
    /// The same.
    Haproxy,
    /// A script for the shell that runs the monitoring system and its tool.
    Prometheus,
}

impl Case {
    /// Reads the heads of all cases, sorted by name.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>> {
        let mut cases = Vec::new();
        for file in files::with_ending(folder, "gd")? {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let read = Self::parse(&name, &fs::read_to_string(&file)?);
            cases.extend(read.with_context(|| format!("in the head of {}", file.display()))?);
        }
        Ok(cases)
    }

    pub(crate) fn needs(&self, program: Program) -> bool {
        self.processes.iter().any(|process| process.program == program)
    }

    pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<Self>> {
        let mut case = Self {
            name: name.to_owned(),
            script: name.to_owned(),
            arguments: Vec::new(),
            processes: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            expected: Vec::new(),
            allowed: Vec::new(),
            long: false,
            serial: false,
        };
        let mut placed = Vec::new();
        let mut variants = Vec::new();
        let mut of_variants = Vec::new();
        let head = text.lines().map(str::trim).take_while(|line| line.starts_with('#') || line.is_empty());
        for line in head {
            let line = line.trim_start_matches('#').trim();
            let (key, value) = line.split_once(':').map_or((line, ""), |(key, value)| (key, value.trim()));
            match key.trim() {
                "processes" => case.processes = value.split_whitespace().map(Role::parse).collect(),
                "timeout" => {
                    let seconds =
                        value.parse().with_context(|| format!("timeout: {value:?} are not seconds"))?;
                    case.timeout = Duration::from_secs(seconds);
                }
                "expect" => case.expected.push(Regex::new(value).context("expect")?),
                "allow" => case.allowed.push(Regex::new(value).context("allow")?),
                key if key.starts_with("expect@") || key.starts_with("allow@") => {
                    of_variants.push((key, Regex::new(value).with_context(|| key.to_owned())?));
                }
                key if Program::named(key).is_some() => placed.push((key, value)),
                "args" => case.arguments.extend(value.split_whitespace().map(str::to_owned)),
                "variant" => variants.push(value.to_owned()),
                "long" => case.long = true,
                "serial" => case.serial = true,
                // Any other comment is for people.
                _ => {}
            }
        }
        if case.processes.is_empty() {
            bail!("there is no `# processes:` line before the first line of code");
        }
        for (program, names) in placed {
            case.place(program, names.split_whitespace())?;
        }
        let mut cases = vec![case];
        if !variants.is_empty() {
            cases = variants.iter().map(|variant| cases[0].variant(variant)).collect::<Result<_>>()?;
        }
        for (key, regex) in of_variants {
            let (kind, variant) = key.split_once('@').unwrap_or((key, ""));
            let name = format!("{name}@{variant}");
            let case = cases.iter_mut().find(|case| case.name == name);
            let case = case.with_context(|| format!("{key}: no such variant"))?;
            (if kind == "allow" { &mut case.allowed } else { &mut case.expected }).push(regex);
        }
        Ok(cases)
    }

    /// Returns a variant of the case, given as `NAME key=value ...`.
    fn variant(&self, text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let name = words.next().filter(|name| !name.contains('='));
        let name = name.with_context(|| format!("variant: {text:?} does not begin with a name"))?;
        let mut case = self.clone();
        case.name = format!("{}@{name}", self.script);
        for word in words {
            match word.split_once('=') {
                Some((key, names)) if Program::named(key).is_some() => case.place(key, names.split(','))?,
                _ => case.arguments.push(word.to_owned()),
            }
        }
        Ok(case)
    }

    /// Makes a program run these processes, given as in `processes`.
    fn place<'a>(&mut self, key: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
        let program = Program::named(key).with_context(|| format!("there is no program {key:?}"))?;
        for wanted in names.map(Role::parse) {
            let is_wanted = |one: &&mut Role| one.role == wanted.role && one.name == wanted.name;
            let process = self.processes.iter_mut().find(is_wanted);
            process.with_context(|| format!("{key}: no process {:?}", wanted.name))?.program = program;
        }
        Ok(())
    }
}

impl Role {
    /// `role` or `role:name`.
    fn parse(word: &str) -> Self {
        let (role, name) = word.split_once(':').unwrap_or((word, word));
        Self { role: role.to_owned(), name: name.to_owned(), program: Program::Engine4 }
    }
}

impl Program {
    /// The program that a key of the head names, such as `engine3`.
    fn named(key: &str) -> Option<Self> {
        Self::from_str(key, false).ok()
    }
}

const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_head_is_read() {
        let text = "# Relay between clients: for people.\n#\n# processes: server client:a client:b\n# timeout: 90\n\
             # expect: ^ERROR: port \\d+\n# expect: other\n# engine3: client:b\n# serial\n# long\n\
             extends \"res://lib/case.gd\"\n# timeout: 5\n";
        let case = &Case::parse("relay", text).expect("a good head")[0];
        let names: Vec<_> = case.processes.iter().map(|p| format!("{}/{}", p.role, p.name)).collect();
        assert_eq!(names, ["server/server", "client/a", "client/b"]);
        assert_eq!(case.timeout, Duration::from_secs(90), "what follows the code is not the head");
        assert_eq!(case.expected.len(), 2);
        assert!(case.serial && case.long && case.needs(Program::Engine3) && !case.needs(Program::Node));
        assert_eq!(case.processes[2].program, Program::Engine3);
        assert_eq!(case.processes[1].program, Program::Engine4);
    }

    #[test]
    fn each_variant_is_a_case() {
        let text = "# processes: server client:a\n# args: size=3\n\
             # variant: ours server=ours clients=ours,ours4\n# variant: plain engine3=server,client:a\n# timeout: 7\n\
             # expect@plain: ^ERROR: x\n# allow@ours: ^ERROR: y\n# allow: ^ERROR: z\n";
        let cases = Case::parse("rpc", text).expect("a good head");
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["rpc@ours", "rpc@plain"]);
        assert_eq!(cases[0].arguments, ["size=3", "server=ours", "clients=ours,ours4"]);
        assert_eq!(cases[1].arguments, ["size=3"]);
        assert!(!cases[0].needs(Program::Engine3));
        assert_eq!((cases[0].expected.len(), cases[1].expected.len()), (0, 1));
        assert_eq!((cases[0].allowed.len(), cases[1].allowed.len()), (2, 1));
        assert!(cases[1].processes.iter().all(|process| process.program == Program::Engine3));
        for case in &cases {
            assert_eq!((case.script.as_str(), case.processes.len()), ("rpc", 2));
            assert_eq!(case.timeout, Duration::from_secs(7), "what follows a variant holds for all");
        }
    }

    #[test]
    fn defaults_and_mistakes() {
        let cases = Case::parse("x", "# processes: main\n").expect("a good head");
        let [case] = &cases[..] else { panic!("one case: {cases:?}") };
        assert_eq!((case.name.as_str(), case.script.as_str(), case.arguments.len()), ("x", "x", 0));
        assert_eq!((case.timeout, case.long, case.serial), (DEFAULT_TIMEOUT, false, false));
        for bad in [
            "extends SceneTree\n# processes: main\n",
            "# processes: main\n# timeout: soon\n",
            "# processes: main\n# expect: (\n",
            "# processes: main\n# variant:\n",
            "# processes: main\n# engine3: client\n",
            "# processes: main\n# variant: x node=client\n",
            "# processes: main\n# expect@x: y\n",
            "# processes: main\n# variant: server=ours\n",
        ] {
            assert!(Case::parse("x", bad).is_err(), "{bad}");
        }
    }
}
