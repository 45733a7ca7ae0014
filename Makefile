# GNU make; every recipe is POSIX sh.

TARGET  ?= x86_64-unknown-linux-musl
PREFIX  ?= /usr
DESTDIR ?=
CARGO   ?= cargo

target_dir := $(abspath $(or $(CARGO_TARGET_DIR),target))
binary     := $(target_dir)/$(TARGET)/release/hookmux
# what is installed and packed, and a hookmux that runs here and writes its man pages and completions
BINARY      ?= $(binary)
HOST_BINARY ?= $(BINARY)
packages   := $(target_dir)/packages
# with BINARY=FILE that file is packed, and nothing is built
needs_build := $(if $(filter file,$(origin BINARY)),build)
gnu_target := x86_64-unknown-linux-gnu
gnu_binary := $(target_dir)/$(gnu_target)/release/hookmux

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
.PHONY: build gnu-static demo test needs lint shellcheck deny unit fuzz libvirt bench install uninstall deb rpm tarball package-lint package-test test-vm clean help

# Cargo does its own dependency tracking, and runs on all cores by itself.
.NOTPARALLEL:

build:  ## the static binary, by way of musl
	@if command -v rustup > /dev/null && ! rustup target list --installed | grep -qx '$(TARGET)'; then \
		rustup target add '$(TARGET)' || { echo 'make: no $(TARGET) to be had, try: make gnu-static' >&2; exit 1; }; \
	fi
	$(CARGO) build --locked --release --target '$(TARGET)'
	@$(call statement,$(binary))

gnu-static:  ## the same by way of glibc, where there is no musl target
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --locked --release --target '$(gnu_target)'
	@$(call statement,$(gnu_binary))
	@said=$$(ldd '$(gnu_binary)' 2>&1) || :; \
	case $$said in \
	*'statically linked'*|*'not a dynamic executable'*) ;; \
	*) printf '%s\n' 'make: this is not a static binary:' "$$said" >&2; exit 1 ;; \
	esac

# $(call statement,FILE): prints what file(1) says of it, and insists on "static".
statement = if command -v file > /dev/null; then \
		said=$$(file '$(1)'); printf '%s\n' "$$said"; \
		case $$said in \
		*'statically linked'*|*'static-pie linked'*) ;; \
		*) echo 'make: this is not a static binary' >&2; exit 1 ;; \
		esac; \
	else printf '%s: built (no file command here to describe it)\n' '$(1)'; fi

demo: build  ## a guest's whole life through hookmux, without root and without libvirt
	@'$(binary)' demo

test: needs lint unit fuzz package-test libvirt  ## everything: lints, unit tests, random inputs, packages, and a real libvirtd (needs root)

needs:
	@.ci/needs

lint: shellcheck deny  ## formatting, clippy, shellcheck, cargo-deny
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --target-dir '$(target_dir)/fuzz' --locked -- -D warnings

shellcheck:
	@mkdir -p '$(target_dir)'
	@{ git ls-files --cached --others --exclude-standard 2> /dev/null \
		|| find . -type f -not -path './target/*' -not -path './.git/*'; } \
	| while IFS= read -r file; do \
		if head -n 1 "$$file" 2> /dev/null | grep -Eaq '^#! *([^ ]*/env +)?([^ ]*/)?(ba|da|k)?sh( |$$)'; then \
			printf '%s\n' "$$file"; \
		fi; \
	done > '$(target_dir)/shell-scripts'
	xargs -d '\n' shellcheck < '$(target_dir)/shell-scripts'

# Without network there are no advisories, and that must not keep anybody from the other checks.
deny:
	@mkdir -p '$(target_dir)'
	@if ! $(CARGO) deny --version > /dev/null 2>&1; then \
		echo '$(CARGO) install --locked cargo-deny'; \
		$(CARGO) install --locked --quiet cargo-deny; \
	fi
	@if $(CARGO) deny --locked fetch db > '$(target_dir)/advisories.log' 2>&1; then \
		echo '$(CARGO) deny --locked check'; \
		$(CARGO) deny --locked check; \
	else \
		echo 'ADVISORIES NOT CHECKED: their database could not be fetched ($(target_dir)/advisories.log)'; \
		echo '$(CARGO) deny --locked check bans licenses sources'; \
		$(CARGO) deny --locked check bans licenses sources; \
	fi

unit:  ## the tests that need neither libvirt nor root
	$(CARGO) test --locked --lib --bins --test hookmux
	$(CARGO) test --locked --release --manifest-path fuzz/Cargo.toml --target-dir '$(target_dir)/fuzz'

# A crate of its own, in $(target_dir)/fuzz. The variables are empty where they aren't given.
fuzz:  ## random inputs: TIME=10s for each target, or INPUTS=NUMBER; ONLY=TARGET SEED=NUMBER JOBS=NUMBER; REPLAY=FILE
	$(CARGO) build --locked --release --manifest-path fuzz/Cargo.toml --target-dir '$(target_dir)/fuzz'
	@'$(target_dir)/fuzz/release/hookmux-fuzz' --findings '$(target_dir)/fuzz/findings' --target '$(ONLY)' \
		--time '$(TIME)' --inputs '$(INPUTS)' --seed '$(SEED)' --jobs '$(JOBS)' --replay '$(REPLAY)'

libvirt: build  ## the tests on a real libvirtd, with the static binary
	HOOKMUX_BIN='$(binary)' $(CARGO) test --locked --test libvirt -- --test-threads=2

bench: build  ## what a call costs, in ratios to what else could do it
	@benches/run '$(binary)'

install:  ## into $(DESTDIR)$(PREFIX), after `make`
	@[ -x '$(BINARY)' ] || { echo 'make: run make first' >&2; exit 1; }
	install -d '$(DESTDIR)$(PREFIX)/sbin'
	install -m 755 '$(BINARY)' '$(DESTDIR)$(PREFIX)/sbin/hookmux'
	install -d '$(DESTDIR)$(PREFIX)/share/doc/hookmux'
	install -m 644 README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE-APACHE LICENSE-MIT '$(DESTDIR)$(PREFIX)/share/doc/hookmux'
	install -d '$(DESTDIR)$(PREFIX)/share/doc/hookmux/docs'
	install -m 644 docs/* '$(DESTDIR)$(PREFIX)/share/doc/hookmux/docs'
	install -d '$(DESTDIR)$(PREFIX)/lib/systemd/system'
	@set -eu; umask 022; for unit in packaging/systemd/*; do \
		sed 's|/usr/sbin/hookmux|$(PREFIX)/sbin/hookmux|' "$$unit" > '$(DESTDIR)$(PREFIX)/lib/systemd/system'/"$${unit##*/}"; \
	done
	install -d '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d'
	install -m 644 packaging/tmpfiles.d/hookmux.conf '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d'
	@set -eu; umask 022; \
	pages=$$(mktemp -d); trap 'rm -rf "$$pages"' EXIT; \
	'$(HOST_BINARY)' man "$$pages"; \
	for page in "$$pages"/*.[1-9]; do \
		[ -f "$$page" ] || { echo 'make: hookmux man wrote no pages' >&2; exit 1; }; \
		section='$(DESTDIR)$(PREFIX)/share/man'/man$${page##*.}; \
		install -d "$$section"; \
		install -m 644 "$$page" "$$section"; \
	done; \
	complete() { \
		'$(HOST_BINARY)' completions "$$1" > "$$pages/completions"; \
		install -d "$${2%/*}"; \
		install -m 644 "$$pages/completions" "$$2"; \
	}; \
	complete bash '$(DESTDIR)$(PREFIX)/share/bash-completion/completions/hookmux'; \
	complete zsh '$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hookmux'; \
	complete fish '$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hookmux.fish'
	@$(if $(DESTDIR),:,echo "installed; 'hookmux install' now links it into /etc/libvirt/hooks")

uninstall:  ## the reverse of `make install`, with the same PREFIX and DESTDIR
	@DESTDIR='$(DESTDIR)' packaging/uninstall.sh --prefix '$(PREFIX)'

deb: $(needs_build)  ## a package for Debian, Ubuntu and their relatives, in target/packages
rpm: $(needs_build)  ## a package for Fedora, RHEL and their relatives
tarball: $(needs_build)  ## all files and an install script, for any Linux
deb rpm tarball:
	@BINARY='$(BINARY)' HOST_BINARY='$(HOST_BINARY)' OUT='$(packages)' CARGO='$(CARGO)' packaging/build $@

package-lint: deb rpm  ## what lintian and rpmlint say of the packages
	@packaging/lint '$(packages)'

package-test: $(needs_build)  ## builds, checks, installs and removes all packages, in a place of its own
	@BINARY='$(BINARY)' CARGO='$(CARGO)' tests/packages/run

test-vm: deb  ## the .deb on whole machines with systemd, AppArmor and libvirtd: upgrades, power cuts, removal (needs root)
	@PACKAGE="$$(ls -t '$(packages)'/hookmux_*_amd64.deb | head -n 1)" VM_DIR='$(target_dir)/vm' tests/vm/run $(MACHINES)

clean:  ## removes what was built
	$(CARGO) clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r name text; do \
		printf 'make %-12s %s\n' "$$name" "$$text"; \
	done
