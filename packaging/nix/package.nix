# hookmux as a package of Nix: `pkgs.callPackage ./package.nix { }`. It is built from this checkout, and linked
# with the C library of nixpkgs, as there no upgrade of a library can break it.
{
  lib,
  rustPlatform,
  source ? lib.cleanSource ../..,
}:

let
  cargo = (lib.importTOML ../../Cargo.toml).package;
in
rustPlatform.buildRustPackage {
  pname = "hookmux";
  inherit (cargo) version;
  src = source;
  cargoLock.lockFile = ../../Cargo.lock;
  cargoBuildFlags = [
    "--bin"
    "hookmux"
  ];

  # The tests call it as libvirt does, with /bin, /usr and /etc of a usual system: `make test`.
  doCheck = false;

  # man pages, completions, ready-made hooks, modules for Python; units with this path in them
  installPhase = ''
    runHook preInstall
    program=$(find target -type f -path '*/release/hookmux' -perm -100 | head -n 1)
    make install DESTDIR= PREFIX="$out" BINARY="$program" HOST_BINARY="$program"
    runHook postInstall
  '';

  meta = {
    inherit (cargo) description;
    license = [
      lib.licenses.asl20
      lib.licenses.mit
    ];
    platforms = lib.platforms.linux;
    mainProgram = "hookmux";
  };
}
