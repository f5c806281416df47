//! A terminal that is taken over, and given back whatever happens.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use crossterm::{cursor, execute, queue, style, terminal};

/// The terminal, until this is dropped.
pub(super) struct Screen {
    last: Vec<String>,
}

impl Screen {
    /// Takes it over.
    ///
    /// # Errors
    /// Standard output is no terminal, or does not do as it is told.
    pub(super) fn open() -> io::Result<Self> {
        if !io::stdout().is_terminal() {
            return Err(io::Error::other("standard output goes elsewhere"));
        }
        terminal::enable_raw_mode()?;
        // From here on dropping it undoes all, also what the next line may have begun.
        let screen = Self { last: Vec::new() };
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    /// Writes over what is there, as far as it fits. Lines are cleared one by one, so that nothing flickers.
    pub(super) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        self.last = lines.to_vec();
        self.draw_again()
    }

    fn draw_again(&self) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        let mut out = io::stdout().lock();
        queue!(out, cursor::MoveTo(0, 0))?;
        for line in self.last.iter().take(usize::from(height)) {
            let visible: String = line.chars().take(usize::from(width)).collect();
            queue!(
                out,
                style::Print(visible),
                terminal::Clear(terminal::ClearType::UntilNewLine),
                cursor::MoveToNextLine(1)
            )?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        out.flush()
    }

    /// Waits until `end` for a key that means the end.
    pub(super) fn wants_end_before(&self, end: Instant) -> io::Result<bool> {
        while event::poll(end.saturating_duration_since(Instant::now()))? {
            match event::read()? {
                Event::Key(key) => match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(true),
                    KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(true),
                    _ => {}
                },
                Event::Resize(..) => self.draw_again()?,
                _ => {}
            }
        }
        Ok(false)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing is left to do about a terminal that does not do as it is told.
        let _shown = execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _cooked = terminal::disable_raw_mode();
    }
}
