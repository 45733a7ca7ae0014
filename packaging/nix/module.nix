# hookmux on NixOS. There libvirt's hooks directory is /var/lib/libvirt/hooks, and NixOS itself makes the entries:
# links in qemu.d, network.d and so on, which it empties first each time.
#
#   imports = [ ./packaging/nix/module.nix ];
#   services.hookmux.enable = true;
#   services.hookmux.hooks.before_vm_start."10-net" = pkgs.writeShellScript "net" ''ip link set br0 up'';
#
# libvirtd looks for hook programs when it starts and when it is reloaded: after the first switch, and after one that
# changes `drivers`, run `systemctl reload libvirtd`.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.hookmux;
  hooksDirectory = "/var/lib/libvirt/hooks";
  settingsFile = (pkgs.formats.yaml { }).generate "hookmux.yaml" cfg.settings;
  program = "${cfg.package}/bin/hookmux";
in
{
  options.services.hookmux = {
    enable = lib.mkEnableOption "hookmux, the hook program for libvirt";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package with hookmux in it.";
    };

    drivers = lib.mkOption {
      type = lib.types.listOf (
        lib.types.enum [
          "daemon"
          "qemu"
          "lxc"
          "libxl"
          "network"
        ]
      );
      default = [
        "daemon"
        "qemu"
        "lxc"
        "network"
      ];
      description = "The drivers of libvirt for which hookmux is called.";
    };

    hooks = lib.mkOption {
      type = lib.types.attrsOf (lib.types.attrsOf lib.types.path);
      default = { };
      example = lib.literalExpression ''{ before_vm_start."10-net" = pkgs.writeShellScript "net" "ip link set br0 up"; }'';
      description = ''
        Scripts, by the event that runs them and by their names, which give their order. /bin and /usr/bin have next to
        nothing on NixOS: a script names programs by their paths in the store. Other scripts in these directories stay.
      '';
    };

    settings = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      example = {
        timeout = "60s";
      };
      description = "What is in hookmux.yaml: hookmux.yaml(5).";
    };
  };

  config = lib.mkIf cfg.enable {
    # a per-guest tree in qemu.d would be removed at each switch
    services.hookmux.settings.tree = lib.mkDefault "hooks.guests";

    virtualisation.libvirtd.hooks = lib.genAttrs cfg.drivers (_driver: {
      "50-hookmux" = program;
    });

    environment.systemPackages = [ cfg.package ];
    # for commands
    environment.variables.HOOKMUX_HOOKS_DIR = hooksDirectory;

    systemd.tmpfiles.rules = [
      "d /run/hookmux 0711 root root -"
      "d /run/hookmux/hooks 0755 root root -"
      "d /var/lib/hookmux 0711 root root -"
      "d ${hooksDirectory} 0755 root root -"
      "L+ ${hooksDirectory}/hookmux.yaml - - - - ${settingsFile}"
    ]
    ++ lib.concatLists (
      lib.mapAttrsToList (
        event: scripts:
        [ "d ${hooksDirectory}/${event} 0755 root root -" ]
        ++ lib.mapAttrsToList (name: script: "L+ ${hooksDirectory}/${event}/${name} - - - - ${script}") scripts
      ) cfg.hooks
    );

    # The units of other systems are for /etc/libvirt/hooks. Calls start what moves records and runs detached hooks
    # by themselves; old records are removed here.
    systemd.services.hookmux-prune = {
      description = "Remove old records of libvirt hooks";
      serviceConfig = {
        Type = "oneshot";
        ExecStart = "${program} --hooks-dir ${hooksDirectory} prune";
        CapabilityBoundingSet = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_SYS_PTRACE";
        NoNewPrivileges = true;
        ProtectSystem = "full";
        ProtectHome = "read-only";
        PrivateDevices = true;
        PrivateNetwork = true;
        RestrictAddressFamilies = "AF_UNIX";
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectControlGroups = true;
        RestrictNamespaces = true;
        MemoryDenyWriteExecute = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = "@system-service";
        UMask = "0077";
      };
    };
    systemd.timers.hookmux-prune = {
      description = "Remove old records of libvirt hooks";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnBootSec = "15min";
        OnUnitActiveSec = "1h";
      };
    };
  };
}
