# Real photographs with official boxes: all methods on one network, EfficientNet-Lite0 under two transformer blocks, and CAM
# of the network itself, three seeds.
bases = [
    'cam_efficientnet-lite0_imagenette',
    'cam_efficientnet-lite0_imagenette_stride-16',
    'ts-cam_hybrid-vit_imagenette',
    'trt_hybrid-vit_imagenette',
    'sat_hybrid-vit_imagenette',
    'catr_hybrid-vit_imagenette',
    'cdtr_hybrid-vit_imagenette_noclip',
    'lctr_hybrid-vit_imagenette',
    'locloc_hybrid-vit_imagenette',
    'dips_hybrid-vit_imagenette',
]
released = ['cam_efficientnet-lite0_imagenette', 'cam_efficientnet-lite0_imagenette_stride-16']  # as trained on ImageNet
seeds = [0, 1, 2]
# Each metric at its own best threshold on all 500 photographs, as papers report it.
tests = {
    'published': [
        '--protocol', 'wsol_v1', 'wsol_v2', 'tscam', '--threshold', 'best',
        '--cfg-options', 'test_dataloader.dataset.split=test',
    ],
}  # yapf: disable
metrics = [
    'cls/top1', 'loc/gt_known', 'loc/top1', 'calibrated/max_box_acc_v2', 'published/tscam/gt_known', 'published/wsol_v1/max_box_acc',
    'published/wsol_v2/max_box_acc_v2'
]
page = dict(
    title='Imagenette',
    text='Ten classes of ImageNet, photographs; no box is used in training. *Calibrated*: the threshold is chosen on 250 of '
    'the 500 photographs of the ILSVRC validation set, the figures are of the other 250. *Published way*: each figure at the '
    'threshold that is best for it on all 500.',
    columns={
        'Cls@1': 'cls/top1',
        'GT-known, calibrated': 'loc/gt_known',
        'Top-1 Loc, calibrated': 'loc/top1',
        'MaxBoxAccV2, calibrated': 'calibrated/max_box_acc_v2',
        'GT-known, published way': 'published/tscam/gt_known',
        'MaxBoxAcc, published way': 'published/wsol_v1/max_box_acc',
        'MaxBoxAccV2, published way': 'published/wsol_v2/max_box_acc_v2',
    },
    against='cam_efficientnet-lite0_imagenette',
    metric='LocAccuracy',
    curves=('published', 'MaxBoxAcc'),
    images=6,
    names={
        'cam_efficientnet-lite0_imagenette': 'CAM, no training',
        'cam_efficientnet-lite0_imagenette_stride-16': 'CAM, stride 16',
        'ts-cam_hybrid-vit_imagenette': 'TS-CAM',
        'trt_hybrid-vit_imagenette': 'TRT',
        'sat_hybrid-vit_imagenette': 'SAT',
        'catr_hybrid-vit_imagenette': 'CATR',
        'cdtr_hybrid-vit_imagenette_noclip': 'CDTR without CLIP',
        'lctr_hybrid-vit_imagenette': 'LCTR',
        'locloc_hybrid-vit_imagenette': 'LocLoc',
        'dips_hybrid-vit_imagenette': 'DiPS',
    })
