"""Names of tags, compressions and photometric interpretations, as their standards spell them.

Sources: TIFF 6.0, TIFF Technical Notes and Supplements, TIFF-F/FX (RFC 2301), TIFF/IT, TIFF/EP (ISO 12234-2),
DNG 1.7, GeoTIFF 1.1, GDAL, Exif 3.0 with its GPS and Interoperability IFDs, and the registered tags of
scientific writers. A number means something else in another kind of directory: 11 is ``GPSDOP`` in a GPS IFD.
"""

from __future__ import annotations

from typing import Final

from catalog.terms import IfdKind


def _named(table: str) -> dict[int, str]:
    words = table.split()
    return {int(code): name for code, name in zip(words[::2], words[1::2], strict=True)}


_TIFF = """
11 ProcessingSoftware
254 NewSubfileType 255 SubfileType 256 ImageWidth 257 ImageLength 258 BitsPerSample 259 Compression
262 PhotometricInterpretation 263 Threshholding 264 CellWidth 265 CellLength 266 FillOrder
269 DocumentName 270 ImageDescription 271 Make 272 Model 273 StripOffsets 274 Orientation
277 SamplesPerPixel 278 RowsPerStrip 279 StripByteCounts 280 MinSampleValue 281 MaxSampleValue
282 XResolution 283 YResolution 284 PlanarConfiguration 285 PageName 286 XPosition 287 YPosition
288 FreeOffsets 289 FreeByteCounts 290 GrayResponseUnit 291 GrayResponseCurve 292 T4Options
293 T6Options 296 ResolutionUnit 297 PageNumber 300 ColorResponseUnit 301 TransferFunction 305 Software
306 DateTime 315 Artist 316 HostComputer 317 Predictor 318 WhitePoint 319 PrimaryChromaticities
320 ColorMap 321 HalftoneHints 322 TileWidth 323 TileLength 324 TileOffsets 325 TileByteCounts
326 BadFaxLines 327 CleanFaxData 328 ConsecutiveBadFaxLines 330 SubIFDs 332 InkSet 333 InkNames
334 NumberOfInks 336 DotRange 337 TargetPrinter 338 ExtraSamples 339 SampleFormat 340 SMinSampleValue
341 SMaxSampleValue 342 TransferRange 343 ClipPath 344 XClipPathUnits 345 YClipPathUnits 346 Indexed
347 JPEGTables 351 OPIProxy 400 GlobalParametersIFD 401 ProfileType 402 FaxProfile 403 CodingMethods
404 VersionYear 405 ModeNumber 433 Decode 434 DefaultImageColor 435 T82Options 512 JPEGProc
513 JPEGInterchangeFormat 514 JPEGInterchangeFormatLength 515 JPEGRestartInterval
517 JPEGLosslessPredictors 518 JPEGPointTransforms 519 JPEGQTables 520 JPEGDCTables 521 JPEGACTables
529 YCbCrCoefficients 530 YCbCrSubSampling 531 YCbCrPositioning 532 ReferenceBlackWhite
559 StripRowCounts 700 XMP 769 GDIGamma 770 ICCProfileDescriptor 771 SRGBRenderingIntent 18246 Rating
18249 RatingPercent 32781 ImageID 32931 WangTag1 32932 WangAnnotation 32933 WangTag3 32934 WangTag4
32995 Matteing 32996 DataType 32997 ImageDepth 32998 TileDepth 33300 ImageFullWidth
33301 ImageFullLength 33302 TextureFormat 33303 TextureWrapModes 33304 FieldOfViewCotangent
33305 MatrixWorldToScreen 33306 MatrixWorldToCamera 33432 Copyright 33723 IPTC
34377 PhotoshopImageResources 34675 ICCProfile 34665 ExifIFD 34853 GPSInfoIFD 40965 InteroperabilityIFD
34016 Site 34017 ColorSequence 34018 IT8Header 34019 RasterPadding 34020 BitsPerRunLength
34021 BitsPerExtendedRunLength 34022 ColorTable 34023 ImageColorIndicator 34024 BackgroundColorIndicator
34025 ImageColorValue 34026 BackgroundColorValue 34027 PixelIntensityRange 34028 TransparencyIndicator
34029 ColorCharacterization 34030 HCUsage 34031 TrapIndicator 34032 CMYKEquivalent
34232 PixelMagicJBIGOptions 34687 FXExtensions 34688 MultiProfiles 34689 SharedData 34690 T88Options
34732 ImageLayer 34750 JBIGOptions 34908 HylaFAXFaxRecvParams 34909 HylaFAXFaxSubAddress
34910 HylaFAXFaxRecvTime 34911 FaxDcs 37439 StoNits 37679 MODIText 37724 ImageSourceData
50547 OriginalFileName 50255 Annotations 50341 PrintImageMatching 59932 Padding 59933 OffsetSchema
40091 XPTitle 40092 XPComment 40093 XPAuthor 40094 XPKeywords 40095 XPSubject
"""

_TIFF_EP = """
33421 CFARepeatPatternDim 33422 CFAPattern 33423 BatteryLevel 33434 ExposureTime 33437 FNumber
34850 ExposureProgram 34852 SpectralSensitivity 34855 PhotographicSensitivity 34856 OECF 34857 Interlace
34858 TimeZoneOffset 34859 SelfTimerMode 36867 DateTimeOriginal 36868 DateTimeDigitized
37122 CompressedBitsPerPixel 37377 ShutterSpeedValue 37378 ApertureValue 37379 BrightnessValue
37380 ExposureBiasValue 37381 MaxApertureValue 37382 SubjectDistance 37383 MeteringMode
37384 LightSource 37385 Flash 37386 FocalLength 37387 FlashEnergy 37388 SpatialFrequencyResponse
37389 Noise 37390 FocalPlaneXResolution 37391 FocalPlaneYResolution 37392 FocalPlaneResolutionUnit
37393 ImageNumber 37394 SecurityClassification 37395 ImageHistory 37396 SubjectLocation
37397 ExposureIndex 37398 TIFFEPStandardID 37399 SensingMethod
"""

_DNG = """
50706 DNGVersion 50707 DNGBackwardVersion 50708 UniqueCameraModel 50709 LocalizedCameraModel
50710 CFAPlaneColor 50711 CFALayout 50712 LinearizationTable 50713 BlackLevelRepeatDim 50714 BlackLevel
50715 BlackLevelDeltaH 50716 BlackLevelDeltaV 50717 WhiteLevel 50718 DefaultScale
50719 DefaultCropOrigin 50720 DefaultCropSize 50721 ColorMatrix1 50722 ColorMatrix2
50723 CameraCalibration1 50724 CameraCalibration2 50725 ReductionMatrix1 50726 ReductionMatrix2
50727 AnalogBalance 50728 AsShotNeutral 50729 AsShotWhiteXY 50730 BaselineExposure 50731 BaselineNoise
50732 BaselineSharpness 50733 BayerGreenSplit 50734 LinearResponseLimit 50735 CameraSerialNumber
50736 LensInfo 50737 ChromaBlurRadius 50738 AntiAliasStrength 50739 ShadowScale 50740 DNGPrivateData
50741 MakerNoteSafety 50778 CalibrationIlluminant1 50779 CalibrationIlluminant2 50780 BestQualityScale
50781 RawDataUniqueID 50827 OriginalRawFileName 50828 OriginalRawFileData 50829 ActiveArea
50830 MaskedAreas 50831 AsShotICCProfile 50832 AsShotPreProfileMatrix 50833 CurrentICCProfile
50834 CurrentPreProfileMatrix 50879 ColorimetricReference 50931 CameraCalibrationSignature
50932 ProfileCalibrationSignature 50933 ExtraCameraProfiles 50934 AsShotProfileName
50935 NoiseReductionApplied 50936 ProfileName 50937 ProfileHueSatMapDims 50938 ProfileHueSatMapData1
50939 ProfileHueSatMapData2 50940 ProfileToneCurve 50941 ProfileEmbedPolicy 50942 ProfileCopyright
50964 ForwardMatrix1 50965 ForwardMatrix2 50966 PreviewApplicationName 50967 PreviewApplicationVersion
50968 PreviewSettingsName 50969 PreviewSettingsDigest 50970 PreviewColorSpace 50971 PreviewDateTime
50972 RawImageDigest 50973 OriginalRawFileDigest 50974 SubTileBlockSize 50975 RowInterleaveFactor
50981 ProfileLookTableDims 50982 ProfileLookTableData 51008 OpcodeList1 51009 OpcodeList2
51022 OpcodeList3 51041 NoiseProfile 51043 TimeCodes 51044 FrameRate 51058 TStop 51081 ReelName
51089 OriginalDefaultFinalSize 51090 OriginalBestQualitySize 51091 OriginalDefaultCropSize
51105 CameraLabel 51107 ProfileHueSatMapEncoding 51108 ProfileLookTableEncoding
51109 BaselineExposureOffset 51110 DefaultBlackRender 51111 NewRawImageDigest 51112 RawToPreviewGain
51125 DefaultUserCrop 51177 DepthFormat 51178 DepthNear 51179 DepthFar 51180 DepthUnits
51181 DepthMeasureType 51182 EnhanceParams 52525 ProfileGainTableMap 52526 SemanticName
52528 SemanticInstanceID 52529 CalibrationIlluminant3 52530 CameraCalibration3 52531 ColorMatrix3
52532 ForwardMatrix3 52533 IlluminantData1 52534 IlluminantData2 52536 MaskSubArea
52537 ProfileHueSatMapData3 52538 ReductionMatrix3 52543 RGBTables 52544 ProfileGainTableMap2
52547 ColumnInterleaveFactor 52548 ImageSequenceInfo 52550 ImageStats 52551 ProfileDynamicRange
52552 ProfileGroupName 52553 JXLDistance 52554 JXLEffort 52555 JXLDecodeSpeed 52535 IlluminantData3
"""

_GEO = """
33550 ModelPixelScale 33920 IntergraphMatrix 33922 ModelTiepoint 34264 ModelTransformation
34735 GeoKeyDirectory 34736 GeoDoubleParams 34737 GeoAsciiParams 42112 GDAL_METADATA 42113 GDAL_NODATA
50844 RPCCoefficientTag 50909 GEO_METADATA 50674 LercParameters
"""

_SCIENCE = """
33445 MDFileTag 33446 MDScalePixel 33447 MDColorTable 33448 MDLabName 33449 MDSampleInfo
33450 MDPrepDate 33451 MDPrepTime 33452 MDFileUnits 33628 UIC1tag 33629 UIC2tag 33630 UIC3tag
33631 UIC4tag 34118 CZ_SEM 34122 IPLAB 34361 MM_Header 34362 MM_Stamp 34412 CZ_LSMINFO 34680 FEI_SFEG
34682 FEI_HELIOS 37500 MakerNote 37510 UserComment 50838 IJMetadataByteCounts 50839 IJMetadata
51123 MicroManagerMetadata 65200 FlexXML
"""

_EXIF = """
33434 ExposureTime 33437 FNumber 34850 ExposureProgram 34852 SpectralSensitivity
34855 PhotographicSensitivity 34856 OECF 34864 SensitivityType 34865 StandardOutputSensitivity
34866 RecommendedExposureIndex 34867 ISOSpeed 34868 ISOSpeedLatitudeyyy 34869 ISOSpeedLatitudezzz
36864 ExifVersion 36867 DateTimeOriginal 36868 DateTimeDigitized 36880 OffsetTime
36881 OffsetTimeOriginal 36882 OffsetTimeDigitized 37121 ComponentsConfiguration
37122 CompressedBitsPerPixel 37377 ShutterSpeedValue 37378 ApertureValue 37379 BrightnessValue
37380 ExposureBiasValue 37381 MaxApertureValue 37382 SubjectDistance 37383 MeteringMode
37384 LightSource 37385 Flash 37386 FocalLength 37396 SubjectLocation 37500 MakerNote 37510 UserComment
37520 SubSecTime 37521 SubSecTimeOriginal 37522 SubSecTimeDigitized 37888 Temperature 37889 Humidity
37890 Pressure 37891 WaterDepth 37892 Acceleration 37893 CameraElevationAngle 40960 FlashpixVersion
40961 ColorSpace 40962 PixelXDimension 40963 PixelYDimension 40964 RelatedSoundFile
40965 InteroperabilityIFD 41483 FlashEnergy 41484 SpatialFrequencyResponse 41486 FocalPlaneXResolution
41487 FocalPlaneYResolution 41488 FocalPlaneResolutionUnit 41492 SubjectLocation 41493 ExposureIndex
41495 SensingMethod 41728 FileSource 41729 SceneType 41730 CFAPattern 41985 CustomRendered
41986 ExposureMode 41987 WhiteBalance 41988 DigitalZoomRatio 41989 FocalLengthIn35mmFilm
41990 SceneCaptureType 41991 GainControl 41992 Contrast 41993 Saturation 41994 Sharpness
41995 DeviceSettingDescription 41996 SubjectDistanceRange 42016 ImageUniqueID 42032 CameraOwnerName
42033 BodySerialNumber 42034 LensSpecification 42035 LensMake 42036 LensModel 42037 LensSerialNumber
42080 CompositeImage 42081 SourceImageNumberCompositeImage 42082 SourceExposureTimesCompositeImage
42240 Gamma
42038 ImageTitle 42039 Photographer 42040 ImageEditor 42041 CameraFirmware
42042 RAWDevelopingSoftware 42043 ImageEditingSoftware 42044 MetadataEditingSoftware
"""

_GPS = """
0 GPSVersionID 1 GPSLatitudeRef 2 GPSLatitude 3 GPSLongitudeRef 4 GPSLongitude 5 GPSAltitudeRef
6 GPSAltitude 7 GPSTimeStamp 8 GPSSatellites 9 GPSStatus 10 GPSMeasureMode 11 GPSDOP 12 GPSSpeedRef
13 GPSSpeed 14 GPSTrackRef 15 GPSTrack 16 GPSImgDirectionRef 17 GPSImgDirection 18 GPSMapDatum
19 GPSDestLatitudeRef 20 GPSDestLatitude 21 GPSDestLongitudeRef 22 GPSDestLongitude 23 GPSDestBearingRef
24 GPSDestBearing 25 GPSDestDistanceRef 26 GPSDestDistance 27 GPSProcessingMethod 28 GPSAreaInformation
29 GPSDateStamp 30 GPSDifferential 31 GPSHPositioningError
"""

_INTEROP = """
1 InteroperabilityIndex 2 InteroperabilityVersion 4096 RelatedImageFileFormat 4097 RelatedImageWidth
4098 RelatedImageLength
"""

EXIF_NAMES: Final = _named(_EXIF)
GPS_NAMES: Final = _named(_GPS)
INTEROP_NAMES: Final = _named(_INTEROP)
TIFF_NAMES: Final = _named(_TIFF_EP + _DNG + _GEO + _SCIENCE + _TIFF)

# Exif puts its own tags into IFD0 and TIFF's into the Exif IFD often enough: each knows the other's names.
_MAIN = EXIF_NAMES | TIFF_NAMES
_BY_KIND: Final[dict[IfdKind, dict[int, str]]] = {
    **dict.fromkeys(IfdKind, _MAIN),
    IfdKind.EXIF: TIFF_NAMES | EXIF_NAMES,
    IfdKind.GPS: GPS_NAMES,
    IfdKind.INTEROP: INTEROP_NAMES,
}


def names_of(kind: IfdKind) -> dict[int, str]:
    """Code to name for one kind of directory; not to be changed."""
    return _BY_KIND[kind]


def tag_name(kind: IfdKind, code: int) -> str:
    """The standard name of a tag in that kind of directory, or its number in hexadecimal (``0xc4a5``)."""
    return _BY_KIND[kind].get(code) or f"0x{code:04x}"


# Compression (259): the words of ``Layout.compression``.
COMPRESSION_NAMES: Final[dict[int, str]] = {
    1: "none",
    2: "CCITT RLE",
    3: "CCITT G3",
    4: "CCITT G4",
    5: "LZW",
    6: "JPEG (old style)",
    7: "JPEG",
    8: "Deflate",
    9: "JBIG",
    10: "JBIG (color)",
    22610: "JPEG XR (NDPI)",
    32766: "NeXT",
    32767: "Sony ARW",
    32769: "packed raw",
    32770: "Samsung SRW",
    32771: "CCITT RLE (word aligned)",
    32772: "Samsung SRW 2",
    32773: "PackBits",
    32809: "ThunderScan",
    32895: "IT8 CTPAD",
    32896: "IT8 LW",
    32897: "IT8 MP",
    32898: "IT8 BL",
    32908: "Pixar Film",
    32909: "Pixar Log",
    32946: "Deflate (old code)",
    32947: "Kodak DCS",
    33003: "JPEG 2000 (Aperio YCbCr)",
    33004: "JPEG 2000 (lossy)",
    33005: "JPEG 2000 (Aperio RGB)",
    33007: "JPEG (alternative code)",
    34661: "JBIG (ISO)",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv 24",
    34712: "JPEG 2000",
    34713: "Nikon NEF",
    34715: "JBIG2",
    34887: "LERC",
    34892: "JPEG (lossy DNG)",
    34925: "LZMA",
    34926: "ZSTD (old code)",
    34927: "WebP (old code)",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "ZSTD",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL (DNG)",
}

# PhotometricInterpretation (262).
PHOTOMETRIC_NAMES: Final[dict[int, str]] = {
    0: "MinIsWhite",
    1: "MinIsBlack",
    2: "RGB",
    3: "palette",
    4: "transparency mask",
    5: "separated",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "CFA",
    32844: "LogL",
    32845: "LogLuv",
    34892: "LinearRaw",
    51177: "depth map",
    52527: "semantic mask",
}


def compression_name(code: int) -> str:
    """In words (``LZW``), or ``unknown (65535)``."""
    return COMPRESSION_NAMES.get(code) or f"unknown ({code})"


def photometric_name(code: int) -> str:
    """In words (``MinIsWhite``), or ``unknown (77)``."""
    return PHOTOMETRIC_NAMES.get(code) or f"unknown ({code})"
