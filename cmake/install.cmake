# `cmake --install build/release` puts the programs where the systemd units and man pages say.
include(GNUInstallDirs)
install(TARGETS droppoint RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS droppoint-agent droppoint-collector RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS droppoint-capture RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/droppoint)
install(FILES deploy/systemd/droppoint-agent.service deploy/systemd/droppoint-collector.service
        DESTINATION lib/systemd/system)
install(FILES deploy/systemd/droppoint-agent.service.d/probes.conf DESTINATION share/doc/droppoint/droppoint-agent.service.d)
install(FILES deploy/systemd/droppoint.sysusers.conf DESTINATION lib/sysusers.d RENAME droppoint.conf)
file(GLOB pages1 CONFIGURE_DEPENDS docs/man/*.1)
file(GLOB pages8 CONFIGURE_DEPENDS docs/man/*.8)
install(FILES ${pages1} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${pages8} DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
