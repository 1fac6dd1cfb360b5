# Debian 12 packages, found by pkg-config. deploy/packages.list names the packages that bring them.
find_package(PkgConfig REQUIRED)
foreach(pair IN ITEMS
    ZMQ=libzmq PROTOBUFC=libprotobuf-c PCAP=libpcap UV=libuv JANSSON=jansson CYAML=libcyaml SECCOMP=libseccomp
    CAPNG=libcap-ng XXHASH=libxxhash SODIUM=libsodium ZLIB=zlib ZSTD=libzstd LZ4=liblz4 PQ=libpq CMOCKA=cmocka
    CRYPTO=libcrypto SSL=libssl CARES=libcares MNL=libmnl NFTABLES=libnftables MARIADB=libmariadb)
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 var)
  list(GET pair 1 module)
  pkg_check_modules(${var} REQUIRED IMPORTED_TARGET ${module})
endforeach()
find_package(Threads REQUIRED)
