package io.epidote.cli;

import io.epidote.cli.load.TimeText;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.BuildInfo;
import io.epidote.router.RouterConfig;
import io.epidote.router.RouterConfig.Limits;
import io.epidote.router.cluster.PlacementRules;
import io.epidote.router.cluster.Sharding;
import io.epidote.router.cluster.Topology;
import io.epidote.router.request.RequestWatch;
import io.epidote.router.request.Slo;
import io.epidote.router.roles.RoleRules;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How a router lets stages work. */
final class RouterOptions {
  private static final String AUTO = "auto";

  private static final Duration LEAST_SILENCE = Duration.ofSeconds(1);

  @Option(
      names = "--no-overlap",
      description =
          "Run the stages of a request strictly one after the other, for measuring what overlap brings.")
  boolean noOverlap;

  @Option(
      names = "--topology",
      paramLabel = "TOPOLOGY",
      description =
          "Which stages of a request share a node: EPD, EP+D, E+PD or E+P+D for every request, for measuring what each costs. Default: auto, for each request what is predicted to be fastest now.")
  String topology = AUTO;

  @Option(
      names = "--encode-sharding",
      paramLabel = "WHAT",
      description =
          "Into what the media of a request may be divided over encode nodes: tiles, pictures or none, for measuring what that brings. Default: tiles.")
  String sharding = Sharding.TILES.label();

  @Option(
      names = "--no-page",
      description =
          "Have no page at the HTTP port's / and none of the JSON under /epidote that it and 'epidote top' show.")
  boolean noPage;

  @Option(
      names = "--classifier",
      paramLabel = "FILE",
      description =
          "A classifier, as router.json beside a model's adapters, that chooses the adapter of requests to MODEL:auto by their text.")
  @Nullable Path classifier;

  @Option(
      names = "--admin-host",
      paramLabel = "ADDRESS",
      description =
          "Address to listen on at --admin-port. Whoever reaches it may change adapters. Default: ${DEFAULT-VALUE}.")
  String adminHost = "127.0.0.1";

  @Option(
      names = "--adapter-folder",
      paramLabel = "DIR",
      description =
          "A folder, as the nodes see it, too, whose subfolders are adapters by their names: a new one is loaded, a changed one replaced, a removed one unloaded.")
  @Nullable Path adapterFolder;

  @Option(
      names = "--slo-ttft-ms",
      paramLabel = "MS",
      description =
          "Time to first token that requests should have which do not say so themselves. Orders those that wait where a node has --order slack. Default: none.")
  @Nullable Double sloTtftMs;

  @Option(
      names = "--slo-tpot-ms",
      paramLabel = "MS",
      description = "Likewise, the time for each token after the first. Default: none.")
  @Nullable Double sloTpotMs;

  @Option(
      names = "--max-requests",
      paramLabel = "N",
      description =
          "Requests at work at a time; others wait to be admitted. Default: ${DEFAULT-VALUE}.")
  int maxRequests = Limits.DEFAULT.maxInFlight();

  @Option(
      names = "--recovery-wait",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long an answer that lost a node may be without another or a token before it fails, and new requests wait where a stage has lost its last node. Default: 60s.")
  Duration recoveryWait = Limits.DEFAULT.recoveryWait();

  @Option(
      names = "--node-silence",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long a node may report nothing before it is taken for lost; nodes report twice a second. Default: 10s.")
  Duration nodeSilence = Limits.DEFAULT.nodeSilence();

  @Option(
      names = "--roles",
      paramLabel = "HOW",
      description =
          "Who changes the stages of nodes: auto, the router by itself where the load asks for it, by the --slo targets; or manual, 'epidote roles switch' alone. Default: ${DEFAULT-VALUE}.")
  String roles = "manual";

  @Option(
      names = "--role-cooldown",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "From one switch by the router itself to the next. Default: 10s.")
  Duration roleCooldown = RoleRules.MANUAL.cooldown();

  @Option(
      names = "--role-drain",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long the running requests of a node that is switched may take to end before they go on elsewhere. Default: 2s.")
  Duration roleDrain = RoleRules.MANUAL.drain();

  @Option(
      names = "--role-floor",
      paramLabel = "N",
      description = "Nodes that every stage keeps. Default: ${DEFAULT-VALUE}.")
  int roleFloor = RoleRules.MANUAL.floor();

  @Option(
      names = "--roles-at-once",
      paramLabel = "N",
      description =
          "Nodes that may be switched at a time, by one decision. Default: ${DEFAULT-VALUE}.")
  int rolesAtOnce = RoleRules.MANUAL.atOnce();

  @Option(
      names = "--shared-roles",
      description =
          "Let the router give nodes encode and decode together, where it switches roles by itself: for devices that encode in the midst of a step of decode.")
  boolean sharedRoles;

  @Mixin SecurityOptions security = new SecurityOptions();

  /** How roles change. */
  private RoleRules roles() {
    if (!roles.equals(AUTO) && !roles.equals("manual")) {
      throw new InvalidRequest("--roles %s is unknown; expected auto or manual".formatted(roles));
    }
    if (roleFloor < 1) {
      throw new InvalidRequest("--role-floor must be at least 1");
    }
    if (rolesAtOnce < 1) {
      throw new InvalidRequest("--roles-at-once must be at least 1");
    }
    return new RoleRules(
        roles.equals(AUTO),
        roleFloor,
        rolesAtOnce,
        roleCooldown,
        RoleRules.MANUAL.horizon(),
        roleDrain,
        sharedRoles);
  }

  @Option(
      names = "--refuse-late",
      description =
          "Refuse a request at once when its first token is predicted to miss its target, unless it says that late is better than never.")
  boolean refuseLate;

  @Option(
      names = "--log-requests",
      description = "Write a line of the log for every request that ended, without its content.")
  boolean logRequests;

  @Option(
      names = "--log-content",
      description = "As --log-requests, with what was asked and answered.")
  boolean logContent;

  private Limits limits() {
    if (maxRequests < 1) {
      throw new InvalidRequest("--max-requests must be at least 1");
    }
    if (nodeSilence.compareTo(LEAST_SILENCE) < 0) {
      throw new InvalidRequest(
          "--node-silence must be at least %s: nodes report twice a second"
              .formatted(TimeText.of(LEAST_SILENCE)));
    }
    return Limits.DEFAULT
        .but()
        .maxInFlight(maxRequests)
        .refusesLate(refuseLate)
        .drain(drain)
        .recoveryWait(recoveryWait)
        .nodeSilence(nodeSilence)
        .build();
  }

  /** Targets of requests that say none. */
  private Slo slo() {
    return new Slo(target("--slo-ttft-ms", sloTtftMs), target("--slo-tpot-ms", sloTpotMs));
  }

  private static OptionalDouble target(String option, @Nullable Double ms) {
    return ms == null ? OptionalDouble.empty() : Slo.target(option, ms);
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments = new ArrayList<>();
    if (noOverlap) {
      arguments.add("--no-overlap");
    }
    topology().ifPresent(only -> arguments.addAll(List.of("--topology", only.label())));
    arguments.addAll(List.of("--encode-sharding", sharding));
    arguments.addAll(List.of("--max-requests", Integer.toString(maxRequests)));
    arguments.addAll(
        List.of(
            "--roles",
            roles,
            "--role-cooldown",
            TimeText.of(roleCooldown),
            "--role-drain",
            TimeText.of(roleDrain),
            "--role-floor",
            Integer.toString(roleFloor),
            "--roles-at-once",
            Integer.toString(rolesAtOnce)));
    if (sharedRoles) {
      arguments.add("--shared-roles");
    }
    arguments.addAll(List.of("--recovery-wait", TimeText.of(recoveryWait)));
    arguments.addAll(List.of("--node-silence", TimeText.of(nodeSilence)));
    if (refuseLate) {
      arguments.add("--refuse-late");
    }
    if (noPage) {
      arguments.add("--no-page");
    }
    if (logRequests) {
      arguments.add("--log-requests");
    }
    if (logContent) {
      arguments.add("--log-content");
    }
    if (sloTtftMs != null) {
      arguments.addAll(List.of("--slo-ttft-ms", sloTtftMs.toString()));
    }
    if (sloTpotMs != null) {
      arguments.addAll(List.of("--slo-tpot-ms", sloTpotMs.toString()));
    }
    arguments.addAll(List.of("--admin-host", adminHost));
    adapterFolder()
        .ifPresent(folder ->
            arguments.addAll(List.of("--adapter-folder", folder.toAbsolutePath().toString())));
    classifier()
        .ifPresent(
            file -> arguments.addAll(List.of("--classifier", file.toAbsolutePath().toString())));
    arguments.addAll(security.arguments());
    return arguments;
  }

  Optional<Path> adapterFolder() {
    return Optional.ofNullable(adapterFolder);
  }

  /** How long a router that stops lets its requests end. */
  Duration drain = Limits.DEFAULT.drain();

  /** A router of the model in the folder that listens at the host. */
  RouterConfig.Builder config(
      Path folder,
      String host,
      PortOptions ports,
      TenantOptions tenants,
      TlsOptions tls,
      AdapterRootOptions roots,
      TracingOptions tracing) {
    return RouterConfig.of(folder, Home.cache(), BuildInfo.VERSION)
        .listen(host, ports.http, ports.grpc)
        .placement(placement())
        .slo(slo())
        .limits(limits())
        .roles(roles())
        .classifier(classifier())
        .tenants(tenants.weights())
        .tracing(tracing.tracing())
        .requestLog(new RequestWatch.LogRules(logRequests || logContent, logContent))
        .admin(
            new RouterConfig.Admin(
                adminHost, ports.admin, roots.roots(folder, adapterFolder()), adapterFolder()))
        .page(!noPage)
        .security(security.of(tls));
  }

  private Optional<Path> classifier() {
    return Optional.ofNullable(classifier);
  }

  PlacementRules placement() {
    return new PlacementRules(!noOverlap, topology(), Sharding.parse(sharding));
  }

  /** What every request is held to, or nothing. */
  private Optional<Topology> topology() {
    return topology.equals(AUTO) ? Optional.empty() : Optional.of(Topology.parse(topology));
  }
}
