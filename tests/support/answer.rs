use std::time::Duration;

/// What libvirt would have got.
#[derive(Debug)]
pub struct Answer {
    /// `None` where a signal ended it, which must never be.
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
}

impl Answer {
    /// Success, in silence.
    #[track_caller]
    pub fn succeeds(&self) -> &Answer {
        assert_eq!(self.status, Some(0), "{self:?}");
        assert!(self.stdout.is_empty() && self.stderr.is_empty(), "must be silent: {self:?}");
        self
    }

    /// Success with a document for libvirt.
    #[track_caller]
    pub fn answers(&self, document: impl AsRef<[u8]>) -> &Answer {
        assert_eq!(self.status, Some(0), "{self:?}");
        assert_eq!(
            String::from_utf8_lossy(&self.stdout),
            String::from_utf8_lossy(document.as_ref())
        );
        assert_eq!(self.stderr, "");
        self
    }

    /// Failure with this status, nothing on stdout, and a bounded stderr with these words.
    #[track_caller]
    pub fn fails(&self, status: i32, words: &[&str]) -> &Answer {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.stdout.is_empty(), "nothing on stdout: {self:?}");
        assert!(self.stderr.len() <= 4096, "{} bytes of stderr", self.stderr.len());
        for word in words {
            assert!(self.stderr.contains(word), "must say {word:?}: {self:?}");
        }
        self
    }

    #[track_caller]
    pub fn never_says(&self, word: &str) -> &Answer {
        assert!(!self.stderr.contains(word), "must not say {word:?}: {self:?}");
        self
    }

    #[track_caller]
    pub fn took_less_than(&self, seconds: u64) -> &Answer {
        assert!(self.took < Duration::from_secs(seconds), "took {:?}: {self:?}", self.took);
        self
    }
}
