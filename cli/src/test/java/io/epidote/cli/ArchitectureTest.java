package io.epidote.cli;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackages;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;

import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.junit.AnalyzeClasses;
import com.tngtech.archunit.junit.ArchTest;
import com.tngtech.archunit.lang.ArchRule;
import org.jspecify.annotations.NullMarked;

/** The direction of dependencies, and who may touch what. */
@AnalyzeClasses(
    packages = "io.epidote",
    importOptions = {ImportOption.DoNotIncludeTests.class})
class ArchitectureTest {
  @ArchTest
  static final ArchRule dependenciesPointOneWay =
      layeredArchitecture()
          .consideringOnlyDependenciesInLayers()
          .layer("proto")
          .definedBy("io.epidote.proto..")
          .layer("engine")
          .definedBy("io.epidote.engine..")
          .layer("node")
          .definedBy("io.epidote.node..")
          .layer("encode")
          .definedBy("io.epidote.encode..")
          .layer("prefill")
          .definedBy("io.epidote.prefill..")
          .layer("decode")
          .definedBy("io.epidote.decode..")
          .layer("router")
          .definedBy("io.epidote.router..")
          .layer("kubernetes")
          .definedBy("io.epidote.kubernetes..")
          .layer("planner")
          .definedBy("io.epidote.planner..")
          .layer("scenes")
          .definedBy("io.epidote.scenes..")
          .layer("client")
          .definedBy("io.epidote.client..")
          .layer("cli")
          .definedBy("io.epidote.cli..")
          .whereLayer("cli")
          .mayNotBeAccessedByAnyLayer()
          .whereLayer("client")
          .mayNotBeAccessedByAnyLayer()
          .whereLayer("router")
          .mayOnlyBeAccessedByLayers("planner", "cli")
          .whereLayer("kubernetes")
          .mayOnlyBeAccessedByLayers("cli")
          .whereLayer("encode")
          .mayOnlyBeAccessedByLayers("planner", "cli")
          .whereLayer("prefill")
          .mayOnlyBeAccessedByLayers("planner", "cli")
          .whereLayer("decode")
          .mayOnlyBeAccessedByLayers("planner", "cli")
          .whereLayer("planner")
          .mayOnlyBeAccessedByLayers("cli")
          .whereLayer("scenes")
          .mayOnlyBeAccessedByLayers("cli")
          .whereLayer("node")
          .mayOnlyBeAccessedByLayers(
              "encode", "prefill", "decode", "router", "kubernetes", "planner", "cli")
          .whereLayer("engine")
          .mayOnlyBeAccessedByLayers(
              "node", "encode", "prefill", "decode", "router", "kubernetes", "planner", "cli")
          .whereLayer("proto")
          .mayOnlyBeAccessedByLayers(
              "node",
              "encode",
              "prefill",
              "decode",
              "router",
              "kubernetes",
              "planner",
              "client",
              "cli");

  @ArchTest
  static final ArchRule theClientKnowsTheContractOnly =
      noClasses()
          .that()
          .resideInAPackage("io.epidote.client..")
          .should()
          .dependOnClassesThat(
              resideInAPackage("io.epidote..")
                  .and(resideOutsideOfPackages("io.epidote.client..", "io.epidote.proto.v1..")));

  @ArchTest
  static final ArchRule onlyTheEngineTouchesModels =
      noClasses()
          .that()
          .resideOutsideOfPackage("io.epidote.engine..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("ai.djl..", "ai.onnxruntime..");

  @ArchTest
  static final ArchRule theEngineHasNoNetwork =
      noClasses()
          .that()
          .resideInAPackage("io.epidote.engine..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("io.grpc..", "io.netty..", "java.net.http..");

  @ArchTest
  static final ArchRule onlyTransferTouchesGrpcInternals =
      noClasses()
          .that()
          .resideOutsideOfPackages("io.epidote.node.transfer..")
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage("io.grpc.internal..", "io.grpc.netty.shaded..");

  @ArchTest
  static final ArchRule onlyOnePackageTouchesTheKubernetesClient =
      noClasses()
          .that()
          .resideOutsideOfPackage("io.epidote.kubernetes..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("io.fabric8..");

  @ArchTest
  static final ArchRule onlyTheRouterAndTheLoadTesterSpeakHttp =
      noClasses()
          .that()
          .resideOutsideOfPackages("io.epidote.router..", "io.epidote.cli.load..")
          .should()
          .dependOnClassesThat()
          .resideInAPackage("io.netty.handler.codec.http..");

  @ArchTest
  static final ArchRule everyPackageSaysWhatLivesThere =
      classes()
          .that()
          .haveSimpleName("package-info")
          .and()
          .resideOutsideOfPackages("io.epidote.proto..", "io.epidote.engine.onnx.format..")
          .should()
          .beAnnotatedWith(NullMarked.class);
}
