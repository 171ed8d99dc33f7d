//! The demo's chat room with a browser: the page, messages in both directions, and a room that restarts.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::case::Program;
use crate::engine::{Engine, free_port, relay};
use crate::foreign::Foreign;
use crate::process::{Event, Group, describe};
use crate::repo::Repo;
use crate::ui;
use crate::verdict::Verdict;

/// Lets `tests/interop/chat_page.cjs` visit a room in which a player of the demo sits.
pub(crate) fn test(repo: &Repo, engine: &Engine) -> Result<()> {
    ui::step("Chatting: the demo's room, its page in a headless Chromium, and a restart of the room");
    let mut foreign = Foreign::default();
    foreign.provide(Program::Chromium)?;
    let port = free_port()?;
    let picture = repo.scratch.join("chat_page.png");
    let room = || {
        let mut command = engine.on(&repo.demo_project());
        command.args(["--headless", "--", "chat", "window", "name=Ada", "say=hello there"]);
        command.arg(format!("port={port}"));
        command
    };
    let page = || -> Result<Command> {
        let mut command = foreign.command(Program::Chromium, &repo.interop(), "chat_page")?;
        command.arg("name=page").arg(format!("port={port}"));
        command.arg(format!("page={}", repo.demo_project().join("web/chat.html").display()));
        command.arg(format!("picture={}", picture.display()));
        Ok(command)
    };
    let mut group = Group::new("chatting", LIMIT);
    let mut open_room = group.spawn("room", room())?;
    let mut page_index = None;
    let mut reopen_at: Option<Instant> = None;
    let (mut heard, mut heard_again, mut said_ok) = (false, false, false);
    let mut verdict = Verdict::new(&[], &[]);
    while !page_index.is_some_and(|index| group.is_done(index)) {
        if reopen_at.is_some_and(|at| Instant::now() >= at) {
            reopen_at = None;
            open_room = group.spawn("room, again", room())?;
        }
        if reopen_at.is_none() && group.is_done(open_room) {
            bail!("the room has ended before its visitors");
        }
        let Some(Event::Line(index, line)) = group.next()? else { continue };
        let name = group.label(index).to_owned();
        relay(&name, &line.text);
        verdict.read(&name, &line.text);
        if index == open_room && page_index.is_none() && line.text.starts_with("READY") {
            page_index = Some(group.spawn("page", page()?)?);
        } else if Some(index) == page_index {
            said_ok |= line.text == "CASE OK";
            if line.text.starts_with("CASE FAILED") {
                verdict.add(line.text);
            } else if line.text == "RESTART" {
                group.kill(open_room);
                reopen_at = Some(Instant::now() + CLOSED_FOR);
            }
        } else {
            heard |= line.text == "Cleo: hello from a page";
            heard_again |= line.text == "Ben: still here";
        }
    }
    let status = page_index.and_then(|index| group.status(index)).context("the page has ended")?;
    group.kill_all();
    if !status.success() || !said_ok {
        verdict.add(format!("the page's script: {}", describe(status)));
    }
    if !heard || !heard_again {
        verdict.add("the room did not hear the page".to_owned());
    }
    let faults = verdict.close();
    ensure!(faults.is_empty(), "the chat with a browser: {}", faults.join("; "));
    ui::detail(&format!("what the page looked like: {}", picture.display()));
    Ok(())
}

/// Long enough for one failed attempt of the page to connect again.
const CLOSED_FOR: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_mins(4);
