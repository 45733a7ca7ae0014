# GNU make; every recipe is POSIX sh.

PREFIX   ?= /usr
DESTDIR  ?=
HOOKSDIR ?= /etc/libvirt/hooks
CARGO   ?= cargo
RUSTC   ?= rustc

# By way of musl where this Rust has that, else of glibc. It is asked for in recipes only, once: what is
# missing may just have been installed.
TARGET ?= $(eval TARGET := $(shell host=$$($(RUSTC) -vV | sed -n 's/^host: //p'); \
	musl=$$(echo "$$host" | sed 's/-gnu$$/-musl/'); \
	if [ -d "$$($(RUSTC) --print target-libdir --target "$$musl" 2> /dev/null)" ]; then echo "$$musl"; else echo "$$host"; fi))$(TARGET)
# No path of this machine is in a binary: the same sources and the same Rust make the same one in any folder.
cargo_home := $(or $(CARGO_HOME),$(HOME)/.cargo)
# glibc is linked statically only where that is asked for
flags = $(if $(filter %-gnu,$(TARGET)),RUSTFLAGS='-C target-feature=+crt-static --remap-path-prefix=$(cargo_home)=/cargo --remap-path-prefix=$(CURDIR)=/hookmux')
# joined with .cargo/config.toml, which RUSTFLAGS would replace
remapped = $(if $(filter %-gnu,$(TARGET)),,--config 'target.$(TARGET).rustflags=["--remap-path-prefix=$(cargo_home)=/cargo", "--remap-path-prefix=$(CURDIR)=/hookmux"]')

# What a call needs lies side by side in the program (docs/performance.md). `make ORDER=` leaves that out, for a linker
# that doesn't know `INSERT`. Not an absolute path: Rust would make another program of it in another folder.
ORDER ?= .cargo/order.ld
order  = $(if $(ORDER),$(if $(filter x86_64-%-musl,$(TARGET)),-C 'link-arg=-T$(ORDER)'))

target_dir := $(abspath $(or $(CARGO_TARGET_DIR),target))
# a link that `build` makes, to what it has built
binary     := $(target_dir)/hookmux
# what is installed and packed, and a hookmux that runs here and writes its man pages and completions
BINARY      ?= $(binary)
HOST_BINARY ?= $(BINARY)
packages   := $(target_dir)/packages
# with BINARY=FILE that file is packed, and nothing is built
needs_build := $(if $(filter file,$(origin BINARY)),build)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all build relay relay-msrv relay-clippy relay-unit test-fleet bench-fleet relay-deb relay-rpm cockpit test-cockpit cockpit-deb cockpit-rpm gnu-static demo test toolchain needs needs-lint lint top-level clippy shellcheck deny msrv minimal-versions unit fuzz libvirt bench install uninstall install-hook uninstall-hook deb rpm tarball package-lint package-test fresh test-vm clean help aarch64 test-aarch64 reproducible test-trixie test-modular arch release order

# Cargo does its own dependency tracking, and runs on all cores by itself.
.NOTPARALLEL:

all: build relay  ## hookmux, and hookmux-relay where this Rust is new enough for it

build: toolchain  ## the static binary: by way of musl where Rust has that, else of glibc
	$(flags) $(CARGO) rustc $(remapped) --locked --release --target '$(TARGET)' --bin hookmux -- $(order)
	@ln -sfn '$(TARGET)/release/hookmux' '$(binary)'
	@if command -v file > /dev/null; then said=$$(file -L '$(binary)'); else said=$$(ldd '$(binary)' 2>&1) || :; fi; \
	printf '%s\n' "$$said"; \
	case $$said in \
	*'statically linked'*|*'static-pie linked'*|*'not a dynamic executable'*) ;; \
	*) echo 'make: this is not a static binary' >&2; exit 1 ;; \
	esac

# Rust brings all that this takes: its own linker, and musl. rustup has them; a Rust that is Debian's has not.
aarch64 := aarch64-unknown-linux-musl
aarch64: TARGET := $(aarch64)
aarch64: toolchain  ## the static binary for AArch64 (ARM64), built on any machine; `make test-aarch64` runs it
	@[ -d "$$($(RUSTC) --print target-libdir --target $(aarch64) 2> /dev/null)" ] \
		|| { echo 'make: this Rust builds nothing for AArch64; try: rustup target add $(aarch64)' >&2; exit 1; }
	$(CARGO) build $(remapped) --config 'target.$(aarch64).linker="rust-lld"' --locked --release --target $(aarch64)
	@ln -sfn $(aarch64)/release/hookmux '$(target_dir)/hookmux-aarch64'

test-aarch64: aarch64  ## calls with that one, under qemu-user
	@BINARY='$(target_dir)/hookmux-aarch64' .ci/aarch64

reproducible: build  ## builds once more in another folder, and compares to the byte
	@BINARY='$(binary)' .ci/reproducible

# A crate of its own, with a Cargo.lock of its own. `.ci/relay` runs a command where this Rust is new enough for it,
# and else says that hookmux-relay is left out.
relay_flags := --manifest-path relay/Cargo.toml --locked --target-dir '$(target_dir)/relay'

relay: toolchain  ## hookmux-relay, the static binary that carries events to other hosts
	@rm -f '$(target_dir)/hookmux-relay'
	@case '$(TARGET)' in *-musl) command -v musl-gcc > /dev/null \
		|| { echo 'HOOKMUX-RELAY LEFT OUT: it needs musl-gcc (Debian: musl-tools)'; exit 0; } ;; esac; \
	CARGO='$(CARGO)' RUSTC='$(RUSTC)' .ci/relay env $(flags) $(CARGO) build $(remapped) $(relay_flags) --release --target '$(TARGET)'
	@if [ -x '$(target_dir)/relay/$(TARGET)/release/hookmux-relay' ]; then \
		ln -sfn 'relay/$(TARGET)/release/hookmux-relay' '$(target_dir)/hookmux-relay'; \
	fi

relay-clippy: needs-lint
	@CARGO='$(CARGO)' RUSTC='$(RUSTC)' .ci/relay $(CARGO) fmt --manifest-path relay/Cargo.toml --check
	@CARGO='$(CARGO)' RUSTC='$(RUSTC)' .ci/relay $(CARGO) clippy $(relay_flags) --all-targets -- -D warnings

relay-unit: toolchain
	@CARGO='$(CARGO)' RUSTC='$(RUSTC)' .ci/relay $(CARGO) test $(relay_flags) --bins

test-fleet: toolchain  ## hookmux-relay with a real nats-server: kills, a cluster, certificates, consumers, collectors
	@NATS_SERVER="$$(.ci/nats-server '$(target_dir)/nats')" CARGO='$(CARGO)' RUSTC='$(RUSTC)' \
		.ci/relay $(CARGO) test $(relay_flags) --test fleet -- --test-threads=4

bench-fleet: toolchain  ## a thousand hosts at ten events a second, simulated: HOSTS, RATE, DURATION
	@NATS_SERVER="$$(.ci/nats-server '$(target_dir)/nats')" CARGO='$(CARGO)' RUSTC='$(RUSTC)' CARGO_TARGET_DIR='$(target_dir)' TARGET='$(TARGET)' \
		.ci/relay env $(flags) benches/fleet

# The page's packages are named in cockpit/package-lock.json, with their checksums.
cockpit:  ## the page in Cockpit, in cockpit/dist (needs npm, and a network the first time)
	@packaging/cockpit/page

test-cockpit: $(needs_build)  ## the page in Cockpit, in a real browser (needs root); COCKPIT_ROOT=DIR: with the Cockpit of a system in DIR
	@BINARY='$(BINARY)' tests/cockpit/run

gnu-static: toolchain  ## the same by way of glibc, also where there is a musl target
	@$(MAKE) --no-print-directory build TARGET="$$($(RUSTC) -vV | sed -n 's/^host: //p')"

demo: build  ## a guest's whole life through hookmux, without root and without libvirt
	@'$(binary)' demo

test: needs lint unit relay-unit fuzz package-test libvirt  ## everything: lints, unit tests, random inputs, packages, and a real libvirtd (needs root)

# Who has set CARGO has a Rust of their own.
toolchain:
	@$(if $(filter cargo,$(CARGO)),.ci/needs build)

needs-lint:
	@$(if $(filter cargo,$(CARGO)),.ci/needs lint)

needs:
	@.ci/needs test

lint: top-level clippy relay-clippy shellcheck deny  ## what lies at the top level, formatting, clippy, shellcheck, cargo-deny

top-level:
	@.ci/top-level

clippy: needs-lint
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --manifest-path fuzz/Cargo.toml --target-dir '$(target_dir)/fuzz' --locked -- -D warnings

# what others have written is in tests/captures/, as they have
shellcheck: needs-lint
	@mkdir -p '$(target_dir)'
	@{ git ls-files --cached --others --exclude-standard 2> /dev/null \
		|| find . -type f -not -path './target/*' -not -path './.git/*'; } \
	| grep -v '^\(\./\)*tests/captures/' \
	| while IFS= read -r file; do \
		if head -n 1 "$$file" 2> /dev/null | grep -Eaq '^#! *([^ ]*/env +)?([^ ]*/)?(ba|da|k)?sh( |$$)'; then \
			printf '%s\n' "$$file"; \
		fi; \
	done > '$(target_dir)/shell-scripts'
	xargs -d '\n' shellcheck < '$(target_dir)/shell-scripts'

# Without advisories the other checks are made all the same. There are none without network, and none for
# cargo-deny before 0.18.6, which can't read CVSS 4.0 and doesn't know `unsound`.
deny:
	@$(if $(filter cargo,$(CARGO)),.ci/needs deny)
	@mkdir -p '$(target_dir)'
	@version=$$($(CARGO) deny --version); \
	what='bans licenses sources'; \
	case $$version in *' 0.18.'[0-5]) \
		sed '/^unsound /d' deny.toml > '$(target_dir)/deny.toml'; \
		what="--config $(target_dir)/deny.toml $$what"; \
		echo "ADVISORIES NOT CHECKED: $$version can't read their database" ;; \
	*) \
		if $(CARGO) deny --locked fetch db > '$(target_dir)/advisories.log' 2>&1; then what=all; \
		else echo 'ADVISORIES NOT CHECKED: their database could not be fetched ($(target_dir)/advisories.log)'; fi ;; \
	esac; \
	echo "$(CARGO) deny --locked check $$what"; \
	$(CARGO) deny --locked check $$what || exit 1; \
	case $$version in *' 0.18.'[0-5]) \
		sed '/^unsound /d' relay/deny.toml > '$(target_dir)/relay-deny.toml'; \
		what="--config $(target_dir)/relay-deny.toml bans licenses sources" ;; \
	esac; \
	$(CARGO) deny --manifest-path relay/Cargo.toml --locked check $$what

msrv:  ## clippy with the oldest Rust that Cargo.toml promises (needs rustup, or that Rust)
	@CARGO_TARGET_DIR='$(target_dir)' .ci/msrv

relay-msrv:  ## the same for hookmux-relay, which promises another
	@CARGO_TARGET_DIR='$(target_dir)' .ci/msrv relay

minimal-versions: toolchain  ## a build, and unit tests, with the oldest versions that Cargo.toml allows of what hookmux depends on
	@CARGO='$(CARGO)' CARGO_TARGET_DIR='$(target_dir)' .ci/minimal-versions

unit: toolchain  ## the tests that need neither libvirt nor root
	$(CARGO) test --locked --lib --bins --test hookmux
	$(CARGO) test --locked --release --manifest-path fuzz/Cargo.toml --target-dir '$(target_dir)/fuzz'

# A crate of its own, in $(target_dir)/fuzz. The variables are empty where they aren't given.
fuzz: toolchain  ## random inputs: TIME=10s for each target, or INPUTS=NUMBER; ONLY=TARGET SEED=NUMBER JOBS=NUMBER; REPLAY=FILE
	$(CARGO) build --locked --release --manifest-path fuzz/Cargo.toml --target-dir '$(target_dir)/fuzz'
	@'$(target_dir)/fuzz/release/hookmux-fuzz' --findings '$(target_dir)/fuzz/findings' --target '$(ONLY)' \
		--time '$(TIME)' --inputs '$(INPUTS)' --seed '$(SEED)' --jobs '$(JOBS)' --replay '$(REPLAY)'

libvirt: build  ## the tests on a real libvirtd, with the static binary
	HOOKMUX_BIN='$(binary)' $(CARGO) test --locked --test libvirt -- --test-threads=2

test-trixie: build  ## the same with the libvirt of Debian 13 (11.3), in a root of its own (needs root and mmdebstrap)
	@BINARY='$(binary)' CARGO_TARGET_DIR='$(target_dir)' tests/trixie/run $(ARGUMENTS)

test-modular: build  ## the same with one daemon for each driver (virtqemud, virtnetworkd, virtlxcd), built from Debian's sources
	@LIBVIRT_DAEMONS=modular BINARY='$(binary)' CARGO_TARGET_DIR='$(target_dir)' tests/trixie/run $(ARGUMENTS)

order: toolchain  ## makes .cargo/order.ld again: which functions a call needs (x86_64 with musl)
	$(CARGO) rustc --locked --release --target '$(TARGET)' --bin hookmux -- -C strip=none
	@benches/order '$(target_dir)/$(TARGET)/release/hookmux' > '$(target_dir)/order.ld'
	@mv '$(target_dir)/order.ld' .cargo/order.ld

bench: build  ## what a call costs, in ratios to what else could do it
	@benches/run '$(binary)'

install:  ## into $(DESTDIR)$(PREFIX), after `make`
	@[ -x '$(BINARY)' ] || { echo 'make: run make first' >&2; exit 1; }
	install -d '$(DESTDIR)$(PREFIX)/sbin'
	install -m 755 '$(BINARY)' '$(DESTDIR)$(PREFIX)/sbin/hookmux'
	install -d '$(DESTDIR)$(PREFIX)/share/doc/hookmux'
	install -m 644 README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE-APACHE LICENSE-MIT '$(DESTDIR)$(PREFIX)/share/doc/hookmux'
	install -d '$(DESTDIR)$(PREFIX)/share/doc/hookmux/docs'
	install -m 644 docs/*.md '$(DESTDIR)$(PREFIX)/share/doc/hookmux/docs'
	install -d '$(DESTDIR)$(PREFIX)/share/doc/hookmux/docs/pictures'
	install -m 644 docs/pictures/* '$(DESTDIR)$(PREFIX)/share/doc/hookmux/docs/pictures'
	@set -eu; umask 022; find contrib/hooks contrib/ansible contrib/prometheus contrib/install-hook contrib/README.md -type f | while IFS= read -r file; do \
		mode=644; [ ! -x "$$file" ] || mode=755; \
		install -D -m "$$mode" "$$file" '$(DESTDIR)$(PREFIX)/share/hookmux'/"$$file"; \
	done
	@set -eu; umask 022; (cd contrib/hooking/python && find . -name '*.py') | while IFS= read -r module; do \
		install -D -m 644 "contrib/hooking/python/$$module" '$(DESTDIR)$(PREFIX)/share/hookmux/python'/"$$module"; \
	done
	install -D -m 644 packaging/selinux/hookmux.cil '$(DESTDIR)$(PREFIX)/share/hookmux/selinux/hookmux.cil'
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

# The words after it are names of hooks, not goals.
ifneq ($(filter install-hook uninstall-hook,$(firstword $(MAKECMDGOALS))),)
NAME ?= $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
ifneq ($(filter-out $(firstword $(MAKECMDGOALS)),$(MAKECMDGOALS)),)
.PHONY: $(NAME)
$(NAME): ; @:
endif
endif

install-hook:  ## a hook of contrib/hooks, by its name: make install-hook NAME
	@DESTDIR='$(DESTDIR)' HOOKSDIR='$(HOOKSDIR)' contrib/install-hook $(NAME)

uninstall-hook:  ## the reverse of `make install-hook`
	@DESTDIR='$(DESTDIR)' HOOKSDIR='$(HOOKSDIR)' contrib/install-hook --remove $(if $(YES),--yes )$(NAME)

uninstall:  ## the reverse of `make install`, with the same PREFIX and DESTDIR
	@DESTDIR='$(DESTDIR)' packaging/uninstall.sh --prefix '$(PREFIX)'

deb: $(needs_build)  ## a package for Debian, Ubuntu and their relatives, in target/packages
rpm: $(needs_build)  ## a package for Fedora, RHEL and their relatives
tarball: $(needs_build)  ## all files and an install script, for any Linux
deb rpm tarball:
	@BINARY='$(BINARY)' HOST_BINARY='$(HOST_BINARY)' OUT='$(packages)' CARGO='$(CARGO)' packaging/build $@

relay-deb: relay  ## a package of hookmux-relay for Debian, Ubuntu and their relatives
relay-rpm: relay  ## a package of hookmux-relay for Fedora, RHEL and their relatives
relay-deb relay-rpm:
	@CARGO='$(CARGO)' RUSTC='$(RUSTC)' .ci/relay env BINARY='$(target_dir)/hookmux-relay' OUT='$(packages)' CARGO='$(CARGO)' \
		packaging/relay/build $(@:relay-%=%)

cockpit-deb: cockpit  ## a package of the page in Cockpit, for Debian, Ubuntu and their relatives
cockpit-rpm: cockpit  ## a package of the page in Cockpit, for Fedora, RHEL and their relatives
cockpit-deb cockpit-rpm:
	@if [ -e cockpit/dist/index.js ]; then OUT='$(packages)' packaging/cockpit/build $(@:cockpit-%=%); fi

arch: $(needs_build)  ## a package for Arch Linux, with makepkg
	@BINARY='$(BINARY)' OUT='$(packages)' CARGO='$(CARGO)' packaging/arch/build

release := $(target_dir)/release-$(shell sed -n '/^\[package\]/,/^\[dep/s/^version = "\(.*\)"$$/\1/p' Cargo.toml)
release: build aarch64  ## all files of a release, with checksums and lists of what is in them; DRAFT=--draft for a trial
	@rm -rf '$(release)'
	@OUT='$(release)' CARGO='$(CARGO)' BINARY='$(binary)' packaging/build deb rpm tarball
	@OUT='$(release)' CARGO='$(CARGO)' BINARY='$(target_dir)/hookmux-aarch64' HOST_BINARY='$(binary)' packaging/build deb rpm tarball
	@OUT='$(release)' CARGO='$(CARGO)' RUSTC='$(RUSTC)' CARGO_TARGET_DIR='$(target_dir)' packaging/release $(DRAFT)

package-lint: deb rpm  ## what lintian and rpmlint say of the packages
	@packaging/lint '$(packages)'

fresh:  ## what a bare Debian 13 makes of it, in a root of its own (needs root and mmdebstrap)
	@tests/fresh/run

package-test: $(needs_build)  ## builds, checks, installs and removes all packages, in a place of its own
	@BINARY='$(BINARY)' CARGO='$(CARGO)' tests/packages/run

test-vm: deb  ## the .deb on whole machines with systemd, AppArmor and libvirtd: upgrades, power cuts, removal; MACHINES='life-12' for Debian 12 (needs root)
	@PACKAGE="$$(ls -t '$(packages)'/hookmux_*_amd64.deb | head -n 1)" VM_DIR='$(target_dir)/vm' tests/vm/run $(MACHINES)

clean:  ## removes what was built
	$(CARGO) clean
	rm -rf relay/target cockpit/dist cockpit/node_modules tests/cockpit/node_modules

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r name text; do \
		printf 'make %-16s %s\n' "$$name" "$$text"; \
	done
