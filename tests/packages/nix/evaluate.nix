# What packaging/nix/ comes to, without nixpkgs: `lib` is as much of its library as these files use. With
# `library` other than null, the path of a real one, its module system evaluates the module.
{ library }:

let
  inherit (builtins)
    attrNames
    concatLists
    fromTOML
    listToAttrs
    map
    mapAttrs
    readFile
    ;

  stub = rec {
    inherit concatLists;
    importTOML = path: fromTOML (readFile path);
    cleanSource = path: path;
    mkOption = option: option;
    mkEnableOption = words: { default = false; description = words; };
    literalExpression = text: text;
    mkIf = condition: content: if condition then content else { };
    mkDefault = value: value;
    genAttrs = names: make: listToAttrs (map (name: { inherit name; value = make name; }) names);
    mapAttrsToList = make: set: map (name: make name set.${name}) (attrNames set);
    types = {
      package = "package";
      path = "path";
      anything = "anything";
      enum = names: names;
      listOf = type: [ type ];
      attrsOf = type: { inherit type; };
    };
    licenses = { asl20 = "asl20"; mit = "mit"; };
    platforms.linux = [ "x86_64-linux" "aarch64-linux" ];
  };
  lib = if library == null then stub else import library;

  rustPlatform.buildRustPackage = attributes: attributes // { outPath = "/nix/store/hookmux"; };
  pkgs = {
    callPackage = path: more: import path ({ inherit lib rustPlatform; } // more);
    formats.yaml = _: { generate = name: settings: "/nix/store/${name}-${builtins.hashString "sha256" (builtins.toJSON settings)}"; };
  };

  given = {
    enable = true;
    package = "/nix/store/hookmux";
    drivers = [ "qemu" "network" ];
    settings.timeout = "60s";
    hooks.before_vm_start."10-net" = "/nix/store/net";
  };

  module = import ../../../packaging/nix/module.nix;
  # one pass over defaults, what is given, and what the module itself sets
  plain =
    let
      options = (module { inherit lib pkgs; config = { }; }).options.services.hookmux;
      defaults = mapAttrs (_: option: option.default or null) options;
      own = { settings = (module { inherit lib pkgs; config.services.hookmux = defaults // given; }).config.services.hookmux.settings // given.settings; };
    in
    (module { inherit lib pkgs; config.services.hookmux = defaults // given // own; }).config
    // { services.hookmux = defaults // given // own; };
  evaluated =
    (lib.evalModules {
      specialArgs = { inherit pkgs; };
      modules = [
        module
        {
          # as NixOS has them
          options =
            let
              any = lib.mkOption { type = lib.types.attrsOf lib.types.anything; default = { }; };
            in
            {
              virtualisation.libvirtd.hooks = any;
              environment.variables = any;
              environment.systemPackages = lib.mkOption { type = lib.types.listOf lib.types.anything; default = [ ]; };
              systemd.tmpfiles.rules = lib.mkOption { type = lib.types.listOf lib.types.str; default = [ ]; };
              systemd.services = any;
              systemd.timers = any;
            };
          config.services.hookmux = given // { package = { type = "derivation"; name = "hookmux"; outPath = "/nix/store/hookmux"; }; };
        }
      ];
    }).config;
  config = if library == null then plain else evaluated;
  package = pkgs.callPackage ../../../packaging/nix/package.nix { };
in
{
  hooks = config.virtualisation.libvirtd.hooks;
  rules = config.systemd.tmpfiles.rules;
  variables = config.environment.variables;
  command = config.systemd.services.hookmux-prune.serviceConfig.ExecStart;
  settings = config.services.hookmux.settings;
  inherit (package) pname version;
  install = package.installPhase;
}
