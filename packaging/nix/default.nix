# `nix-build packaging/nix` builds the program from this tree.
{
  pkgs ? import <nixpkgs> { },
}:

let
  inherit (pkgs) lib;
in
pkgs.rustPlatform.buildRustPackage {
  pname = "sigsend";
  version = (lib.importTOML ../../Cargo.toml).package.version;

  src = lib.cleanSource ../..;
  cargoLock.lockFile = ../../Cargo.lock;

  nativeBuildInputs = [ pkgs.installShellFiles ];
  # .cargo/config.toml links it statically.
  buildInputs = [ pkgs.stdenv.cc.libc.static ];

  # The other tests start daemons and make namespaces, which the sandbox does not allow.
  cargoTestFlags = [
    "--bin"
    "sigsend"
  ];

  postInstall = ''
    installManPage contrib/sigsend.1
    installShellCompletion contrib/completions/{sigsend.bash,_sigsend,sigsend.fish}
  '';

  meta = {
    description = "kill(1) that never hits a recycled PID, waits, escalates and says what happened";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
    mainProgram = "sigsend";
  };
}
