"""DICOM files for tests: any pixels, any elements."""

from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage, generate_uid


def dicom(path: Path, pixels: np.ndarray, bits: int, syntax=ExplicitVRLittleEndian, **elements) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PhotometricInterpretation, data.SamplesPerPixel = "MONOCHROME2", 1
    data.Rows, data.Columns = pixels.shape[-2:]
    data.BitsAllocated, data.BitsStored, data.HighBit = pixels.dtype.itemsize * 8, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in elements.items():
        setattr(data, name, value)
    if syntax == JPEGBaseline8Bit:
        data.file_meta.TransferSyntaxUID = syntax
    elif syntax != ExplicitVRLittleEndian:
        data.compress(syntax, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)
    return path
