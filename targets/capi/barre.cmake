# libbarre.a for a CMake project:
#
#   include(path/to/barre/targets/capi/barre.cmake)
#   target_link_libraries(firmware PRIVATE barre)
#
# BARRE_RUST_TARGET is Rust's name of the target (empty: this machine), BARRE_FEATURES what the library carries.
set(BARRE_RUST_TARGET "" CACHE STRING "Rust target, such as aarch64-unknown-none or thumbv7em-none-eabihf")
set(BARRE_FEATURES "q4_k_m,all-tokenizers,batch,streaming,schema" CACHE STRING "Features of targets/capi, comma-separated")

set(barre_dir ${CMAKE_CURRENT_LIST_DIR})
set(barre_out ${CMAKE_CURRENT_BINARY_DIR}/barre)
set(barre_cargo cargo build --release --no-default-features --features ${BARRE_FEATURES} --target-dir ${barre_out})
if(BARRE_RUST_TARGET)
  list(APPEND barre_cargo --target ${BARRE_RUST_TARGET})
  set(barre_lib ${barre_out}/${BARRE_RUST_TARGET}/release/libbarre.a)
else()
  set(barre_lib ${barre_out}/release/libbarre.a)
endif()

# Cargo knows best when there is nothing to do.
add_custom_target(barre_build COMMAND ${barre_cargo} WORKING_DIRECTORY ${barre_dir} BYPRODUCTS ${barre_lib} VERBATIM)
add_library(barre STATIC IMPORTED GLOBAL)
set_target_properties(barre PROPERTIES IMPORTED_LOCATION ${barre_lib} INTERFACE_INCLUDE_DIRECTORIES ${barre_dir}/include)
add_dependencies(barre barre_build)
target_link_options(barre INTERFACE -Wl,--gc-sections)
