package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.epidote.engine.error.EpidoteException.Internal;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * The functions of ONNX Runtime's C interface that custom operators need and its Java interface
 * does not have. Their places in the table never change (onnxruntime_c_api.h: a version only
 * appends).
 */
final class OrtApi {
  /** The interface's version that has all of these: 1.23. */
  private static final int VERSION = 23;

  private static final int TABLE_ENTRIES = 320;

  private final Linker linker = Linker.nativeLinker();
  private final MemorySegment table;
  private final MethodHandle errorMessage;
  private final MethodHandle releaseStatus;
  final MethodHandle createStatus;
  final MethodHandle createCustomOpDomain;
  final MethodHandle customOpDomainAdd;
  final MethodHandle addCustomOpDomain;
  final MethodHandle releaseCustomOpDomain;
  final MethodHandle kernelInfoGetInt;
  final MethodHandle getInput;
  final MethodHandle getOutput;
  final MethodHandle tensorData;
  final MethodHandle tensorShape;
  final MethodHandle releaseTensorShape;
  final MethodHandle elementCount;
  final MethodHandle parallelFor;
  final MethodHandle createCpuMemoryInfo;
  final MethodHandle releaseMemoryInfo;
  final MethodHandle createAllocator;
  final MethodHandle releaseAllocator;
  final MethodHandle allocatorStats;
  final MethodHandle keyValue;
  final MethodHandle releaseKeyValues;

  /**
   * @throws Internal when ONNX Runtime's library is not loaded, or older than 1.23
   */
  OrtApi() {
    MemorySegment base =
        SymbolLookup.loaderLookup()
            .find("OrtGetApiBase")
            .map(this::apiBase)
            .orElseThrow(() ->
                new Internal("ONNX Runtime's native library is not loaded in this class loader"));
    MethodHandle getApi =
        linker.downcallHandle(base.get(ADDRESS, 0), FunctionDescriptor.of(ADDRESS, JAVA_INT));
    MemorySegment api;
    try {
      api = (MemorySegment) getApi.invokeExact(VERSION);
    } catch (Throwable e) {
      throw new Internal("ONNX Runtime's C interface cannot be read: " + e.getMessage(), e);
    }
    if (api.address() == 0) {
      throw new Internal("ONNX Runtime is older than 1." + VERSION);
    }
    this.table = api.reinterpret(TABLE_ENTRIES * ADDRESS.byteSize());
    this.errorMessage = function(2, FunctionDescriptor.of(ADDRESS, ADDRESS));
    this.releaseStatus = function(93, FunctionDescriptor.ofVoid(ADDRESS));
    this.createStatus = function(0, FunctionDescriptor.of(ADDRESS, JAVA_INT, ADDRESS));
    this.createCustomOpDomain = status(26, ADDRESS, ADDRESS);
    this.customOpDomainAdd = status(27, ADDRESS, ADDRESS);
    this.addCustomOpDomain = status(28, ADDRESS, ADDRESS);
    this.releaseCustomOpDomain = function(101, FunctionDescriptor.ofVoid(ADDRESS));
    this.kernelInfoGetInt = status(86, ADDRESS, ADDRESS, ADDRESS);
    this.getInput = status(90, ADDRESS, JAVA_LONG, ADDRESS);
    this.getOutput = status(91, ADDRESS, JAVA_LONG, ADDRESS, JAVA_LONG, ADDRESS);
    this.tensorData = status(51, ADDRESS, ADDRESS);
    this.tensorShape = status(65, ADDRESS, ADDRESS);
    this.releaseTensorShape = function(99, FunctionDescriptor.ofVoid(ADDRESS));
    this.elementCount = status(64, ADDRESS, ADDRESS);
    this.parallelFor = status(274, ADDRESS, ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS);
    this.createCpuMemoryInfo = status(69, JAVA_INT, JAVA_INT, ADDRESS);
    this.releaseMemoryInfo = function(94, FunctionDescriptor.ofVoid(ADDRESS));
    this.createAllocator = status(131, ADDRESS, ADDRESS, ADDRESS);
    this.releaseAllocator = function(132, FunctionDescriptor.ofVoid(ADDRESS));
    this.allocatorStats = status(319, ADDRESS, ADDRESS);
    this.keyValue = function(297, FunctionDescriptor.of(ADDRESS, ADDRESS, ADDRESS));
    this.releaseKeyValues = function(300, FunctionDescriptor.ofVoid(ADDRESS));
  }

  private MemorySegment apiBase(MemorySegment getApiBase) {
    try {
      MemorySegment base =
          (MemorySegment)
              linker.downcallHandle(getApiBase, FunctionDescriptor.of(ADDRESS)).invokeExact();
      return base.reinterpret(2 * ADDRESS.byteSize());
    } catch (Throwable e) {
      throw new Internal("ONNX Runtime's C interface cannot be read: " + e.getMessage(), e);
    }
  }

  private MethodHandle status(int index, MemoryLayout... arguments) {
    return function(index, FunctionDescriptor.of(ADDRESS, arguments));
  }

  private MethodHandle function(int index, FunctionDescriptor signature) {
    return linker.downcallHandle(table.getAtIndex(ADDRESS, index), signature);
  }

  /**
   * Turns a returned status into an exception.
   *
   * @throws Internal with ONNX Runtime's message when {@code status} is not null; it is released
   */
  void check(MemorySegment status) throws Throwable {
    if (status.address() != 0) {
      MemorySegment text = (MemorySegment) errorMessage.invokeExact(status);
      String message = text.reinterpret(Long.MAX_VALUE).getString(0);
      releaseStatus.invokeExact(status);
      throw new Internal("ONNX Runtime: " + message);
    }
  }
}
